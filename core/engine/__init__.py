"""Training and evaluation: a model and the parts of a store -> rows of metrics, predictions, snapshots."""
