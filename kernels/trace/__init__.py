"""A rule as a list of exact operations, for LLVM, or printed as C++ or as NumPy calls."""
