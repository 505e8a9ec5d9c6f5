"""What is run on a machine with a GPU, in stages of less than ten minutes: see `tests.gpu`.

Nothing here imports more than the standard library, so that it can say what is missing.
"""
