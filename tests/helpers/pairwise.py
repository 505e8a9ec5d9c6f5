"""A few tests of a grid of parameters, so that every two values still meet.

Most faults show when one value, or two together, have a certain form. A grid of n parameters is
therefore thinned to tests in which each pair of values of two parameters occurs: a covering array
of strength two. It is chosen from the tests that there are, since not every combination is one.

Kuhn et al., "Software fault interactions and implications for software testing", 2004.
"""

import hashlib
from collections import defaultdict
from itertools import combinations


def thinned(items):
    """Return the tests that stay, in their order; those with up to two parameters all do."""
    grids = defaultdict(list)
    for item in items:
        if len(_parameters(item)) > 2:
            grids[item.nodeid.partition("[")[0]].append(item)
    left_out = {item for grid in grids.values() for item in set(grid) - _covering(grid)}
    return [item for item in items if item not in left_out]


def _parameters(item):
    """The parameters of a test with their values, as text."""
    callspec = getattr(item, "callspec", None)
    return {name: repr(value) for name, value in callspec.params.items()} if callspec else {}


def _covering(grid):
    """Return some tests that have all pairs of all of them; the same ones everywhere."""
    pairs = {item: set(combinations(sorted(_parameters(item).items()), 2)) for item in grid}
    shuffled = sorted(grid, key=lambda item: hashlib.sha256(item.nodeid.encode()).digest())
    missing, chosen = set().union(*pairs.values()), set()
    for wanted in range(max(map(len, pairs.values())), 0, -1):
        for item in shuffled:
            if len(pairs[item] & missing) >= wanted:
                chosen.add(item)
                missing -= pairs[item]
    return chosen
