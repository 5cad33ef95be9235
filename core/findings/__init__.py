"""Findings: what the numbers of finished runs mean, in sentences."""
