"""Imports: from a zip, a folder, CIFAR-10 or drawn samples to a dataset."""
