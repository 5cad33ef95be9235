"""Pretrained backbones: which there are, and which are here."""
