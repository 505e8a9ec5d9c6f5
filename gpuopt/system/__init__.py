"""The operating system: atomic writes of files, the import search path, worker processes."""
