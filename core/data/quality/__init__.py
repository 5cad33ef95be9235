"""Data quality: readiness, shortcut baselines, statistics and the embedding map of a dataset."""
