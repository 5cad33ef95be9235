"""Benchmarks: Atelier against named baselines, in one run on one machine."""
