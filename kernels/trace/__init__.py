"""Trace a rule to a list of exact operations, for LLVM, C++ and NumPy calls."""
