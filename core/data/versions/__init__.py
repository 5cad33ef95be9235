"""Versions of a dataset: edits, the import log and the export."""
