"""Receipts: a run's data, settings, environment and numbers, signed, to be verified later or elsewhere."""
