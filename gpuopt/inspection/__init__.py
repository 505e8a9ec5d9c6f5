"""The GPU code as facts: what the compilers made of a rule, read without a GPU."""
