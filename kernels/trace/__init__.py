"""A rule as a list of exact operations; as C, and as NumPy calls."""
