"""Helpers for the texts of errors, warnings and tables."""
