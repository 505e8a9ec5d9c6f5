"""The optimizers over plain arrays: groups, options, state dicts and files."""
