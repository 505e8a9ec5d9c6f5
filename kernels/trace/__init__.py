"""A rule as a list of exact operations, printed as C++ or as NumPy calls."""
