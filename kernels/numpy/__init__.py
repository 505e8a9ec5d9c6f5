"""The reference: the rules in NumPy, one block at a time."""
