"""A finished run -> predictions. May import config, data, models and runs."""
