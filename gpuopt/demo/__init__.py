"""The demonstration: gradient descent and its relatives on real handwritten digits."""
