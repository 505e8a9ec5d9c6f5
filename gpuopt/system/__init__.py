"""The operating system: files that are replaced whole, and where imports are searched for."""
