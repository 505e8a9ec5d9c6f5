"""The rules, compiled by Triton for CUDA devices."""
