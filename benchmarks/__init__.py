"""How fast a step is, beside its peers. Not installed; run from the root of the sources."""
