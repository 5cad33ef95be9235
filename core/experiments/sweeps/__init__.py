"""Sweeps: Optuna's search for good settings within ranges."""
