"""Scripts: a run written out as one PyTorch file that needs nothing of Atelier."""
