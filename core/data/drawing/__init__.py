"""The pens that draw the built-in samples: one file a style, each picture from one random.Random."""
