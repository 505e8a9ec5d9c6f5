"""The CUDA C of an update: the driver and the traced rule, with compile options and geometry.

NVRTC compiles the text without headers:

    module = RawModule(path=str(cubin(source(update, dtypes, vectors), 90)))
    module.get_function(COEFFICIENTS)(*coefficients_geometry(n_tensors), (
        addresses, steps, carried, groups, options, coefficients, skip, np.int64(n_tensors)))
    module.get_function(UPDATE)(*update_geometry(n_chunks), (
        addresses, sizes, chunks, coefficients, skip, partials, np.int64(n_tensors)))

All but the last argument are arrays on the device: addresses int64 [n_lists, n_tensors]; sizes,
steps and groups int64 [n_tensors]; chunks int32 [n_chunks, 2]; options float64 [n_groups,
n_options]; carried float64 [n_tensors, n_carried]; coefficients [n_tensors, n_coefficients] in the
compute dtype; partials float64 [n_chunks, n_watched, 3]; skip, one float32, which skips the step
unless it is 0.
"""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path

from ..storage import BLOCK, compute_dtype
from ..table import SUBTOTAL_ROWS, Update
from ..trace.c import coefficients_function, encode_function, spelling, update_function

CHUNK = 8192
"""Elements of a chunk, which one block updates."""

THREADS = 256
"""Threads per block of `UPDATE`, `SUBTOTALS`, `SUMS` and `TOTAL`."""

COEFFICIENT_THREADS = 128
"""Threads per block of `COEFFICIENTS`, each for one tensor."""

OPTIONS = ("--std=c++17", "--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false")
"""Compile options: every operation rounds once, to nearest, denormals included."""

UPDATE = "multi_tensor_update"
COEFFICIENTS = "multi_tensor_coefficients"
SUBTOTALS = "multi_tensor_subtotals"
SUMS = "multi_tensor_sums"
TOTAL = "multi_tensor_total"
"""The names of the kernels."""

DRIVER = ("elements.cuh", "memory.cuh", "sums.cuh", "multi_tensor.cuh")
"""The files of the driver; each depends on the previous ones."""

Geometry = tuple[tuple[int], tuple[int]]
"""The grid (blocks) and the block (threads) of a launch."""

TOTAL_GEOMETRY: Geometry = ((1,), (THREADS,))
"""The geometry of `TOTAL`."""

_COMPUTE = {"float32": "float", "float64": "double"}


def update_geometry(n_chunks: int) -> Geometry:
    """Return the geometry of `UPDATE`; without chunks there is nothing to launch.

    >>> update_geometry(3)
    ((3,), (256,))
    """
    return (n_chunks,), (THREADS,)


def coefficients_geometry(n_tensors: int) -> Geometry:
    """Return the geometry of `COEFFICIENTS`.

    >>> coefficients_geometry(129)
    ((2,), (128,))
    """
    return (-(-n_tensors // COEFFICIENT_THREADS),), (COEFFICIENT_THREADS,)


def subtotals_geometry(n_rows: int) -> Geometry:
    """Return the geometry of `SUBTOTALS`.

    >>> subtotals_geometry(2049)
    ((2,), (256,))
    """
    return (-(-n_rows // SUBTOTAL_ROWS),), (THREADS,)


def sums_geometry(n_tensors: int) -> Geometry:
    """Return the geometry of `SUMS`.

    >>> sums_geometry(3)
    ((3,), (256,))
    """
    return (n_tensors,), (THREADS,)


@cache
def source(
    update: Update,
    dtypes: tuple[str, ...],
    vectors: bool,
    kernels: tuple[str, ...] = (COEFFICIENTS, UPDATE),
) -> str:
    """Return the CUDA C of an update's kernels.

    Args:
        update: the composed update.
        dtypes: the dtype of each list.
        vectors: whether every array is aligned for 16-byte accesses.
        kernels: the names of the kernels to include.
    """
    compute = _COMPUTE[compute_dtype(dtypes[0])]
    parts = (
        driver(),
        maths(update),
        _rule(update, dtypes, compute),
        *(_ENTRIES[kernel](compute, vectors, _bounds(update, dtypes)) for kernel in kernels),
    )
    return "\n".join(parts)


@cache
def total_source(kernels: tuple[str, ...] = (SUBTOTALS, SUMS, TOTAL)) -> str:
    """Return the CUDA C of kernels that add partials."""
    return "\n".join((driver(), *map(_TOTAL_KERNELS.__getitem__, kernels)))


@cache
def driver() -> str:
    """Return the CUDA C that all kernels share, independent of the rule."""
    constants = {
        "BLOCK": BLOCK,
        "CHUNK": CHUNK,
        "THREADS": THREADS,
        "COEFFICIENT_THREADS": COEFFICIENT_THREADS,
        "SUBTOTAL_ROWS": SUBTOTAL_ROWS,
    }
    defined = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    folder = Path(__file__).parent
    return "\n".join([defined, *((folder / name).read_text(encoding="utf-8") for name in DRIVER)])


@cache
def maths(update: Update) -> str:
    """Return the CUDA C generated from the traced rule."""
    of_element, of_tensor = _names(update)
    functions = [update_function(update, of_element), coefficients_function(update, of_tensor)]
    if update.encode_function is not None:
        functions.append(encode_function(update, f"encode_{of_element}"))
    return f"{_TITLE}\n" + "\n".join(functions)


def _names(update: Update) -> tuple[str, str]:
    """Return the names of the traced functions: update_adam, coefficients_of_update_adam."""
    name = spelling(update.function.__name__)
    return name, f"coefficients_of_{name}"


_TITLE = "// --- the rule: traced from its NumPy functions ".ljust(96, "-") + "\n"


def _rule(update: Update, dtypes: tuple[str, ...], compute: str) -> str:
    """Return the struct `Rule` that the driver is instantiated with."""
    lists = [f"{_access(update, i)}<{dtype}>" for i, dtype in enumerate(dtypes)]
    coded = _coded(update, f"encode_{_names(update)[0]}") if update.encode_function else ""
    n_coefficients, n_options = len(update.coefficient_names), len(update.option_names)
    n_carried, n_watched = len(update.carried_names), len(update.watched_names)
    of_element, of_tensor = _names(update)
    values = [f"values[{i}][item]" for i in sorted({*update.read, *update.written})]
    values += [f"watched[{i}]" for i in range(n_watched)]
    values += [f"element.in_stream({stream})" for stream in update.random_streams]
    element = _call(of_element, [*values, *(f"c[{i}]" for i in range(n_coefficients))])
    given = [f"carried[{i}]" for i in range(n_carried)]
    given += [f"options[{i}]" for i in range(n_options)]
    tensor = _call(of_tensor, ["step", *given, "results", *["next"] * bool(n_carried)])
    return f"""\
struct Rule {{
    using Compute = {compute};
    using Lists = ::Lists<
{_wrapped(f"{', '.join(lists)}>;", " " * 8)}
    using Gradient = {lists[1]};
    static constexpr bool CODED = {str(bool(coded)).lower()};
    static constexpr int N_WATCHED = {n_watched};
    static constexpr int N_PLAIN = {update.n_plain};
    static constexpr int N_COEFFICIENTS = {n_coefficients};
    static constexpr int N_CARRIED = {n_carried};
    static constexpr int N_OPTIONS = {n_options};

    template <int ITEMS>
    static __device__ void update(
        Compute (*values)[ITEMS], int item, Element element, Compute* watched, const Compute* c)
    {{
{element}
    }}
{coded}
    static __device__ void coefficients(
        double step, const double* carried, const double* options, double* results, double* next)
    {{
{tensor}
    }}
}};
"""


def _coded(update: Update, of_element: str) -> str:
    """Return the functions of `Rule` that compute scales and codes."""
    measured = "\n".join(
        f"        Access::measure(places[{scale}], first, end, values[{row}], values[{scale}]);"
        for row, scale in update.blocked
    )
    arguments = [f"values[{row}][item]" for row, _ in update.blocked]
    arguments += [f"values[{scale}][item]" for _, scale in update.blocked]
    arguments += [f"element.in_stream({stream})" for stream in update.encode_streams]
    names = update.coefficient_names
    arguments += [f"c[{names.index(name)}]" for name in update.encode_coefficients]
    return f"""
    template <typename Access, int ITEMS>
    static __device__ void measure(
        const int64* places, int first, int end, Compute (*values)[ITEMS])
    {{
{measured}
    }}

    template <int ITEMS>
    static __device__ void encode(
        Compute (*values)[ITEMS], int item, Element element, const Compute* c)
    {{
{_call(of_element, arguments)}
    }}
"""


def _access(update: Update, row: int) -> str:
    """Return the driver's template for a list: read, written, both, neither, or scales."""
    if row in {scale for _, scale in update.blocked}:
        return "Scales"
    names = {(True, False): "Read", (False, True): "Written", (True, True): "Updated"}
    return names.get((row in update.read, row in update.written), "Untouched")


def _call(name: str, arguments: list[str]) -> str:
    return _wrapped(f"{name}({', '.join(arguments)});", " " * 12)


def _wrapped(text: str, indent: str) -> str:
    """Return lines indented by ``indent``, the first one by 8 spaces."""
    return textwrap.fill(
        text,
        100,
        initial_indent=" " * 8,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bounds(update: Update, dtypes: tuple[str, ...]) -> str:
    """Return the launch bounds: threads per block, and for some updates blocks per multiprocessor.

    By default, ptxas for some architectures spills a few values of float64 and split8 updates, to
    fit one more block on a multiprocessor. With two blocks it still spills if a thread has eight
    elements (with a 16-bit list); with one it uses the registers it needs.
    """
    splits = "int8" in dtypes and update.encode_function is None
    return "THREADS, 1" if splits or compute_dtype(dtypes[0]) == "float64" else "THREADS"


def _update_kernel(compute: str, vectors: bool, bounds: str) -> str:
    return f"""\
extern "C" __global__ void __launch_bounds__({bounds}) {UPDATE}(
    const int64* addresses, const int64* sizes, const int* chunks, const {compute}* coefficients,
    const float* skip, double* partials, int64 n_tensors)
{{
    walk_chunk<Rule, {str(vectors).lower()}>(
        addresses, sizes, chunks, coefficients, skip, partials, n_tensors);
}}
"""


def _coefficients_kernel(compute: str, vectors: bool, bounds: str) -> str:
    return f"""\
extern "C" __global__ void __launch_bounds__(COEFFICIENT_THREADS) {COEFFICIENTS}(
    const int64* addresses, int64* steps, double* carried, const int64* groups,
    const double* options, {compute}* coefficients, const float* skip, int64 n_tensors)
{{
    compute_coefficients<Rule>(
        addresses, steps, carried, groups, options, coefficients, skip, n_tensors);
}}
"""


_TOTAL_KERNELS = {
    SUBTOTALS: f"""\
extern "C" __global__ void __launch_bounds__(THREADS) {SUBTOTALS}(
    const double* partials, double* subtotals, int64 n_rows)
{{
    add_subtotals(partials, subtotals, n_rows);
}}
""",
    SUMS: f"""\
extern "C" __global__ void __launch_bounds__(THREADS) {SUMS}(
    const double* partials, const int64* firsts, double* carried, int64 n_sums, int64 n_carried,
    int64 row, int64 step, int64 n_tensors)
{{
    add_sums(partials, firsts, carried, n_sums, n_carried, row, step);
}}
""",
    TOTAL: f"""\
extern "C" __global__ void __launch_bounds__(THREADS) {TOTAL}(
    const double* partials, const float* given, double* total, float* skip, int64* skipped,
    int64 n_rows, int64 how)
{{
    add_up(partials, given, total, skip, skipped, n_rows, how);
}}
""",
}

_ENTRIES = {UPDATE: _update_kernel, COEFFICIENTS: _coefficients_kernel}
