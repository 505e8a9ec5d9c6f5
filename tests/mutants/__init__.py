"""Faults put into the sources on purpose, each of which some test must notice: `make mutants`."""
