"""The backends: rules compiled and run over the elements of arrays."""
