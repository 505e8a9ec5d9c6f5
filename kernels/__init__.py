"""All that touches elements: rules compiled for, and run by, each backend."""
