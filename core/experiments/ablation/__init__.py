"""Ablation: a base trained with and without each component, and what that says."""
