"""The model of a finished run -> predictions, evaluations, features and activations."""
