"""The speed of a step, compared with peers. Not installed; run from the root of the sources."""
