"""Coefficients of many groups at once: the bits that each group's own have."""

from itertools import product

import numpy as np
import pytest

from gpuopt import RULES
from gpuopt.arrays import describe
from gpuopt.engine.coefficients import FEW, Coefficients, by_columns, by_rows, powers, real_powers
from gpuopt.engine.compose import compose
from gpuopt.engine.groups import Group, Groups
from gpuopt.engine.table import Entry, build_tables
from gpuopt.rules import power, real_power
from gpuopt.rules.rounding import ROUND_STOCHASTICALLY, round_state
from gpuopt.rules.stages import DECOUPLED_DECAY, L2_DECAY, SCALE_GRADIENT
from gpuopt.rules.tail import CLIP_GRADIENT, CLIP_VALUE, EMA
from tests.helpers.bits import assert_same_bits
from tests.helpers.values import values

ROWS = 100
STEPS = (1, 2, 3, 255, 2**24 + 1, 2**53 - 1)
STAGES = {
    "none": ((), ()),
    "scale, L2": ((SCALE_GRADIENT, L2_DECAY), ()),
    "clip, decoupled": ((CLIP_GRADIENT, CLIP_VALUE, DECOUPLED_DECAY), (EMA,)),
    "by chance": ((), (ROUND_STOCHASTICALLY, round_state("p", "bfloat16", 1))),
}
HOSTILE = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 0.9, 0.96, 0.999, 1.0 - 2.0**-53, 1.0 + 2.0**-52, 5e-324, 1e-300),
    *(1e300, -1e300, 2.0**53, 2.0**63, 17.3, -0.25, 1e-17, np.inf, -np.inf, np.nan),
)
"""Options and what is carried: also what no optimizer accepts."""


def drawn(count, kind, seed):
    """A column of ordinary, of hostile, or of many kinds of numbers."""
    if kind == "hostile":
        return np.random.default_rng(seed).choice(HOSTILE, count)
    column = values(kind, (count,), "float64", seed)
    return np.abs(column) if kind == "ordinary" else column


def groups_of(update, columns):
    """A group for each row of the columns of options."""
    rows = zip(*(columns[name] for name in update.option_names))
    options = [dict(zip(update.option_names, row)) for row in rows] or [{} for _ in range(ROWS)]
    return Groups.of([Group(update, own) for own in options])


@pytest.mark.parametrize("kind", ["ordinary", "mixed", "hostile"])
@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("name", RULES)
def test_columns_have_the_bits_of_each_row(name, stages, kind):
    update = compose(RULES[name], *STAGES[stages])
    of, random = np.arange(ROWS), np.random.default_rng(3)
    carried = [drawn(ROWS, kind, 50 + i) for i in range(len(update.carried_names))]
    carried = np.array(carried).reshape(-1, ROWS).T.copy()
    columns = {n: drawn(ROWS, kind, i).tolist() for i, n in enumerate(update.option_names)}
    shared = {
        n: [column[0]] * ROWS if i % 2 else column for i, (n, column) in enumerate(columns.items())
    }
    for options, steps in product(
        (columns, shared), (random.choice(STEPS, ROWS), *(np.full(ROWS, t) for t in STEPS))
    ):
        groups = groups_of(update, options)
        with np.errstate(all="ignore"):
            expected = by_rows(update, groups, of, steps, carried)
            actual = by_columns(update, groups, of, steps, carried)
        assert_same_bits(actual, expected, f"{steps[:3]}")


@pytest.mark.parametrize("same_base", [False, True])
def test_powers_of_columns(same_base):
    exponents = np.array([0, 1, 2, 3, 7, 255, 2**24 + 1, 2**53 - 1, -1, -7])
    pairs = list(product(HOSTILE, exponents.tolist()))
    bases, wanted = np.array([b for b, _ in pairs]), np.array([e for _, e in pairs])
    with np.errstate(all="ignore"):
        if same_base:
            for base in HOSTILE:
                expected = [power(base, e) for e in exponents.tolist()]
                assert_same_bits(powers(base, exponents), np.array(expected), f"{base}")
        else:
            assert_same_bits(powers(bases, wanted), np.array([power(b, e) for b, e in pairs]))


@pytest.mark.parametrize("scalar", ["none", "base", "exponent"])
def test_real_powers_of_columns(scalar):
    some = (*HOSTILE, 4e-3, 0.75, -1e5, 0.5 + 2.0**-52, 2.0**53 + 2.0, -(2.0**64))
    with np.errstate(all="ignore"):
        for one in some:
            for others in (np.array(some), np.array(some[::-1])):
                if scalar == "base":
                    actual, pairs = real_powers(one, others), [(one, o) for o in others]
                elif scalar == "exponent":
                    actual, pairs = real_powers(others, one), [(o, one) for o in others]
                else:
                    column = np.full(len(others), one)
                    actual, pairs = real_powers(column, others), [(one, o) for o in others]
                expected = np.array([real_power(*pair) for pair in pairs])
                assert_same_bits(actual, expected, f"{one}")


# --- which rows there are -------------------------------------------------------------------------


def table_of(update, count):
    """A table of tensors of one element that nobody looks at, and what keeps them alive."""
    arrays = [[np.zeros(1, np.float32) for _ in update.lists] for _ in range(count)]
    entries = [
        Entry(i, update, tuple(describe(a, "a") for a in own)) for i, own in enumerate(arrays)
    ]
    (table,) = build_tables(entries, 1024)
    return table, arrays


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 40])
@pytest.mark.parametrize("name", ["adam", "nadam", "asgd"])
def test_a_table_gets_the_rows_of_its_tensors(name, count):
    """Tensors share groups, steps and what they carry, or share none of them."""
    update = compose(RULES[name], (L2_DECAY,))
    table, _kept = table_of(update, count)
    random = np.random.default_rng(count)
    group_of = random.integers(0, max(1, count // 3), count)
    options = [{n: 0.1 + 0.8 * random.random() for n in update.option_names} for _ in range(count)]
    groups = Groups.of([Group(update, own) for own in options])
    coefficients = Coefficients(table, group_of)
    for counts in (np.full(count, 3), random.integers(1, 4, count), np.arange(count) + 1):
        for carried in (0.5, np.nan, random.choice([0.0, -0.0, 0.25, np.nan], table.carried.shape)):
            table.carried[...] = carried
            rests = random.random(count) < 0.3
            table.addresses[1] = np.where(rests, 0, 4096)
            before = table.carried.copy()
            carried = coefficients.fill(counts, groups)
            assert_same_bits(table.carried, before)  # until the step is done
            if carried is not None:
                table.carried[...] = carried
            n = table.coefficients.shape[1]
            for i in range(count):
                own = options[group_of[i]]
                with np.errstate(all="ignore"):
                    row = np.array(update.coefficients(int(counts[i]), own, before[i].tolist()))
                    rounded = row[:n].astype(np.float32)
                assert_same_bits(table.coefficients[i], rounded, f"tensor {i}")
                kept = before[i] if rests[i] else row[n:]
                assert_same_bits(table.carried[i], kept, f"carried by {i}")
