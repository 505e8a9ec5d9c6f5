"""`gpuopt verify`: every backend that is usable here, bit for bit beside NumPy."""
