"""CUDA C: generated from traced rules, compiled by NVRTC, launched by CuPy."""
