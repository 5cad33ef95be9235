"""A run behind HTTP: pictures in, the JSON of `python -m core predict` out."""
