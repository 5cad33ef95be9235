"""Tensor store: all pictures of a dataset as one uint8 array, its parts, and augmented batches of them."""
