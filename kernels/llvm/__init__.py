"""The rules, compiled by Numba for the CPU."""
