"""Pictures -> TensorStore -> batches. May import config, settings, disk and errors."""
