"""Runs and calls on the machines of a Ray cluster, where somebody named one. Nothing here imports ray at the top."""
