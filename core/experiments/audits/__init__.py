"""Audits of a dataset that take trainings: label issues, cross-validated predictions, leakage."""
