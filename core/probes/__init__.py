"""Probes: questions about speed and learning rate, asked before a run and answered between runs."""
