"""Model and batches -> rows of metrics. May import config, rows, evaluation and data."""
