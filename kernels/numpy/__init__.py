"""The reference backend: the rules in NumPy, one block at a time."""
