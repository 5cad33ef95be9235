"""Sources of an import: a zip or a folder, listed and read without unpacking."""
