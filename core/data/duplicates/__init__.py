"""Duplicates: pictures that show the same one again, found by similarity."""
