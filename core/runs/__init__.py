"""Rows -> runs on disk, the queue. May import config, rows, evaluation, settings and disk; never torch."""
