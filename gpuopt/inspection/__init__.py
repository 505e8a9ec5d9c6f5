"""Inspection of the compiled GPU code, without a GPU."""
