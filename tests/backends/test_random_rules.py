"""Rules of random operations: LLVM has the bits of NumPy, whatever is combined with what."""

from dataclasses import dataclass
from types import FunctionType

import numpy as np
import pytest
from gpuopt.kernels import roundings
from gpuopt.kernels.numpy import blocks
from gpuopt.kernels.storage import STORAGE, compute_dtype
from gpuopt.kernels.trace.retarget import function_from

from tests.helpers.exact import assert_same_bits
from tests.helpers.values import DTYPES, values

pytest.importorskip("hypothesis")
launch = pytest.importorskip("gpuopt.kernels.llvm.launch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

CONSTANTS = ("0.0", "-0.0", "1.0", "-7.0", "0.25", "65504.0", "1e999", "-1e999", "2.0**-149")
# Of two zeros, which one np.maximum(0.0, -0.0) gives depends on the processor, in NumPy itself.
OPERATIONS = (
    *(f"np.{name}({{x}} + 0.0, {{y}} + 0.0)" for name in ("maximum", "minimum")),
    *(f"np.{name}({{y}} + 0.0, {{x}} + 0.0)" for name in ("maximum", "minimum")),
    *(f"{{x}} {sign} {{y}}" for sign in "+-*"),
    *(f"np.divide({{{a}}}, {{{b}}})" for a, b in ("xy", "yx")),
    *(f"np.where({{x}} {sign} {{y}}, {{z}}, {{x}})" for sign in ("<", "<=", ">=", "==", "!=")),
    "np.where({x} > {y}, 0.5, {z})",
    "np.sqrt({x})",
    "np.abs({x})",
    "-{x}",
)
ROUNDINGS = (
    "round_bfloat16({x})",
    "split16_high({x})",
    "split16_low({x})",
    "exponent_of({x})",
    "inverse_exponent_of({x})",
    "quotient({x}, {y})",
    "stochastic_bfloat16({x}, element, seed_high, seed_low, step_high, step_low)",
    "stochastic_float16({x}, element, seed_high, seed_low, step_high, step_low)",
)
SIZES = (0, 1, 31, 32, 33, 16_383, 16_384, 16_385)
COEFFICIENTS = ("a", "b", *roundings.STREAM_KEY)


@dataclass(eq=False)
class Drawn:
    """An update; see `kernels.table.Update`."""

    function: FunctionType
    read: tuple[int, ...]
    written: tuple[int, ...]
    watched_names = ("seen",)
    coefficient_names = COEFFICIENTS
    random_streams = (3,)
    blocked = encode_streams = encode_coefficients = ()
    encode_function = None
    n_plain = 0
    wants_sums, wants_counts = False, True


@st.composite
def updates(draw):
    """An update, and the dtype of each list."""
    dtypes = draw(st.lists(st.sampled_from([*DTYPES]), min_size=2, max_size=4).map(tuple))
    rows = st.lists(st.sampled_from(range(len(dtypes))), unique=True, min_size=1)
    read, written = (tuple(sorted(draw(rows))) for _ in range(2))
    names, lines = [*(f"p{row}" for row in read), "a", "b"], []
    known = OPERATIONS if dtypes[0] == "float64" else (*OPERATIONS, *ROUNDINGS)
    for k in range(draw(st.integers(0, 12))):
        x, z = (draw(st.sampled_from(names)) for _ in range(2))
        y = draw(st.sampled_from([*names, *CONSTANTS]))
        lines.append(f"t{k} = {draw(st.sampled_from(known)).format(x=x, y=y, z=z)}")
        names.append(f"t{k}")
    results = [draw(st.sampled_from(names[::-1])) for _ in range(len(written) + 1)]
    return update_of(lines, results, read, written), dtypes


def update_of(lines, results, read, written):
    """The update whose function has these lines, and returns the values of these names."""
    inputs = (*(f"p{row}" for row in read), "element", *COEFFICIENTS)
    body = (*lines, f"return ({', '.join(results)},)")
    source = "\n    ".join((f"def rule({', '.join(inputs)}):", *body)) + "\n"
    return Drawn(function_from(source, "rule", {"np": np, **vars(roundings)}), read, written)


def lists_of(dtypes, size, seed, shift):
    """An array for each list, as it is stored; aligned to its elements alone."""
    made = []
    for row, dtype in enumerate(dtypes):
        whole = values("mixed", (shift + size + 40,), dtype, seed + row).view(STORAGE[dtype])
        made.append(whole[shift : shift + size])
    return made


@settings(max_examples=60, deadline=None)
@given(
    drawn=updates(),
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    shift=st.integers(0, 3),
)
def test_any_rule(drawn, sizes, seed, shift):
    compare(*drawn, sizes, seed, shift)


@pytest.mark.parametrize("constant", ["0.0", "p1"])
@pytest.mark.parametrize("operation", [*OPERATIONS, *ROUNDINGS])
def test_each_operation(operation, constant):
    line = f"t0 = {operation.format(x='p0', y=constant, z='a')}"
    update = update_of([line], ["t0", "p1", "t0"], (0, 1), (0, 1))
    compare(update, ("float32", "float16"), SIZES, seed=1, shift=1)


def compare(update, dtypes, sizes, seed, shift):
    """Fail unless LLVM and NumPy do the same to tensors of these sizes."""
    compute = compute_dtype(dtypes[0])
    numbers = values("mixed", (len(sizes), 2), compute, seed)
    key = np.arange(4 * len(sizes), dtype=compute).reshape(-1, 4) + seed
    coefficients = np.concatenate([numbers, key], axis=1)
    given_, expected = ([lists_of(dtypes, n, seed, shift) for n in sizes] for _ in range(2))
    chunks = [(i, k) for i, n in enumerate(sizes) for k in range(-(-n // launch.CHUNK))]
    lengths = [min(launch.CHUNK, sizes[i] - k * launch.CHUNK) for i, k in chunks]
    partials = np.zeros((len(chunks), 1, 3))
    launch.bind(
        update,
        dtypes,
        np.array([[a.ctypes.data for a in lists] for lists in given_], np.int64).T.copy(),
        np.array(sizes, np.int64),
        np.array(chunks, np.int32).reshape(-1, 2),
        coefficients,
        np.cumsum(lengths, dtype=np.int64),
        partials,
    )()
    for i, (own, theirs) in enumerate(zip(given_, expected)):
        seen = blocks.run(update, theirs, dtypes, coefficients[i])
        for row, dtype in enumerate(dtypes):
            pair = (a.base.view(DTYPES[dtype]) for a in (own[row], theirs[row]))
            assert_same_bits(*pair, f"list {row} of {sizes[i]} elements, and beside it")
        parts = [p for p, (tensor, _) in zip(partials, chunks) if tensor == i]
        largest, others = (np.array(parts).reshape(-1, 3)[:, k] for k in (1, 2))
        assert (largest.max(initial=0.0), others.sum()) == tuple(seen[0, 1:])
