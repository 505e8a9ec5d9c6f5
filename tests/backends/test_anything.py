"""Steps that nobody thought of: random shapes, orders, dtypes, options and rests."""

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.layouts import LAYOUTS, Placed
from tests.helpers.stepping import NEUTRAL, Problem, check, groups
from tests.helpers.values import DTYPES, KINDS, values

# Few rules and mixes of types, since each is compiled; everything else is free.
RULES = ("adamw_amsgrad", "rmsprop_momentum")
MIXES = (
    ("float32", "float32", None),
    ("bfloat16", "float32", None),
    ("float64", "float16", "float32"),
)

SHAPES = st.one_of(
    st.lists(st.integers(0, 7), max_size=4).map(tuple),
    st.sampled_from([(16_383,), (16_384,), (16_385,), (2, 8_192), (129, 127), (40_000,)]),
)
OPTIONS = st.fixed_dictionaries(
    {
        "lr": st.sampled_from([0.0, 1e-3, 0.5, 1e30]),
        "eps": st.sampled_from([0.0, 1e-8, 1.0]),
        "maximize": st.sampled_from([0.0, 1.0]),
        "grad_factor": st.sampled_from([1.0, 2.0**-16, 0.3]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
    }
)


@st.composite
def tensors(draw):
    """A shape, two types of values, two layouts, a group, steps so far, and when it rests."""
    return {
        "shape": draw(SHAPES),
        "kinds": draw(st.tuples(*[st.sampled_from(KINDS)] * 2)),
        "layouts": draw(st.tuples(*[st.sampled_from(list(LAYOUTS))] * 2)),
        "mix": draw(st.sampled_from([0, 0, 0, 1])),
        "group": draw(st.integers(0, 1)),
        "present": draw(st.lists(st.booleans(), min_size=4, max_size=4)),
    }


@st.composite
def problems(draw):
    """A problem, and the layout of each parameter and gradient."""
    rule, staged = draw(st.sampled_from(RULES)), draw(st.booleans())
    changes = draw(st.tuples(OPTIONS, OPTIONS))
    if not staged:
        changes = tuple({**change, **NEUTRAL} for change in changes)
    else:  # all stages, of which each group may ask for less
        changes[0].update(maximize=1.0, weight_decay=0.1)
    main, other = draw(st.permutations(MIXES))[:2]
    drawn = draw(st.lists(tensors(), min_size=1, max_size=6))
    mixes = [other if tensor["mix"] else main for tensor in drawn]
    steps = draw(st.integers(1, 4))
    wanted = groups(rule, *changes, state_dtype=main[2])
    problem = Problem(
        [values(t["kinds"][0], t["shape"], m[0], i) for i, (t, m) in enumerate(zip(drawn, mixes))],
        [
            [
                values(t["kinds"][1], t["shape"], m[1], 10 * k + i) if t["present"][k] else None
                for i, (t, m) in enumerate(zip(drawn, mixes))
            ]
            for k in range(steps)
        ],
        wanted,
        [t["group"] for t in drawn],
    )
    return problem, [t["layouts"] for t in drawn]


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=problems())
def test_any_step_of_any_tensors(backend, drawn):
    problem, layouts = drawn
    of = {id(p): param for p, (param, _) in zip(problem.params, layouts)}
    for grads in problem.grads:
        of.update({id(g): grad for g, (_, grad) in zip(grads, layouts) if g is not None})
    placed = []

    def lay(array, role):
        placed.append(Placed(array, LAYOUTS[of[id(array)]]))
        return placed[-1].array

    check(backend, problem, lay)
    for one in placed:
        one.assert_only_the_array_changed()


def test_the_types_drawn_are_known():
    assert {name for mix in MIXES for name in mix} <= {*DTYPES, None}
    assert np.prod([len(RULES), 2, len(MIXES) * 2]) <= 24  # compilations
