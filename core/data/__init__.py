"""Data: from a zip, a folder or drawn samples to a dataset, its tensor store, its splits and batches of them."""
