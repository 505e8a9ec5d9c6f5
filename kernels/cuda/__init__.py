"""CUDA C: printed from the traced rules, compiled by NVRTC, launched by CuPy."""
