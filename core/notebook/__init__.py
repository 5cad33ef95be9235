"""The notebook: notes by day, and guesses that are written before an outcome and scored after it."""
