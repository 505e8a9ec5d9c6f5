"""What operating systems say about files."""

import os

BELOW_A_FILE = NotADirectoryError if os.name == "posix" else FileNotFoundError
"""The error for a path that goes on behind a file."""
