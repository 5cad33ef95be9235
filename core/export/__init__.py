"""A finished run as files that work without Atelier."""
