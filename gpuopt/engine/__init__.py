"""One step over all tensors: composed updates, tables, launches, the norm, and what is checked."""
