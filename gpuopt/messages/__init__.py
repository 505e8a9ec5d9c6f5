"""What errors, warnings and tables say, and where they point."""
