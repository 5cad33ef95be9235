"""Imported datasets: their records, names and sizes on disk."""
