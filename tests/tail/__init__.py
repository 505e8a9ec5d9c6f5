"""The tail of a training step: clipping, averages, master weights, statistics."""
