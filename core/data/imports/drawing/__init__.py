"""Drawing of the built-in samples: one module a style, over shared subjects."""
