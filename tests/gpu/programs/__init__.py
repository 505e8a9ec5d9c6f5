"""Programs that run under a sanitizer or a profiler, or are one: `python -m tests.gpu` starts them.

Each takes ``--device cpu``, too, to be tested where there is no GPU.
"""
