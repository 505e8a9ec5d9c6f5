"""`python -m gpuopt` is `gpuopt`."""

from gpuopt.cli import main

main()
