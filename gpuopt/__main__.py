"""`python -m gpuopt` is `gpuopt`."""

from gpuopt.cli import main

if __name__ == "__main__":
    main()
