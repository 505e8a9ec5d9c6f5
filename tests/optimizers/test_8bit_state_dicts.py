"""State dicts and files with states in 8 bits: codes or their values, from and into any dtype."""

import copy
import tracemalloc

import numpy as np
import pytest
from gpuopt.kernels.storage import BLOCK

import gpuopt
from gpuopt.rules.formats import FORMATS
from tests.helpers.exact import assert_same_bits
from tests.helpers.optimizers import OPTIMIZERS, make

SHAPES = ((64, 100), (4096,), (10,), (), (0, 4), (70, 71))
STRIDED = 3
"""The index of an array with gaps, behind those of the shapes."""


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def drawn(seed):
    rng = np.random.default_rng(seed)
    made = [np.array(rng.standard_normal(shape), np.float32) for shape in SHAPES]
    turned = rng.standard_normal((70, 71)).astype(np.float32)
    wide = rng.standard_normal((100, 200)).astype(np.float32)
    return [*made, np.asfortranarray(turned), wide[:, ::2]]


def new(name="Adam", state_dtype=None, **options):
    return make(name, drawn(0), state_dtype=state_dtype, **options)


def trained(name="Adam", steps=3, state_dtype="8bit", **options):
    opt = new(name, state_dtype, **options)
    for i in range(steps):
        opt.step(drawn(1 + i))
    return opt


def assert_alike(one, other):
    saved, theirs = one.state_dict(), other.state_dict()
    for key, own in saved["state"].items():
        assert own.keys() == theirs["state"][key].keys()
        for name, value in own.items():
            assert_same_bits(np.asarray(theirs["state"][key][name]), np.asarray(value), name)
    for p, q in zip(one._fused.params, other._fused.params):
        assert_same_bits(q, p, "a parameter")


def followed(opt, saved, **options):
    """An optimizer with the arrays of another, and the states in a state dict."""
    other = new(**options)
    for p, q in zip(opt._fused.params, other._fused.params):
        q[...] = p
    other.load_state_dict(saved)
    return other


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_kinds_go_on_with_the_same_bits(name, decoded):
    opt = trained(name)
    other = followed(opt, opt.state_dict(decoded=decoded), name=name)
    for one in (opt, other):
        one.step(drawn(9))
    assert_alike(opt, other)


@pytest.mark.parametrize("copies", [1, 3])
def test_values_and_codes_are_each_others(copies):
    opt = trained()
    values = opt.state_dict(decoded=True)
    for _ in range(copies):
        other = followed(opt, values)
        other.step([None] * len(drawn(0)))
        other._fused._states.allocate(range(len(drawn(0))), other._groups(1.0))
        assert_alike(opt, other)
        values = other.state_dict(decoded=True)


def test_what_they_have():
    opt = trained()
    codes, values = opt.state_dict(), opt.state_dict(decoded=True)
    for key, param in enumerate(drawn(0)):
        own = codes["state"][key]
        small = param.size < 4096
        assert own["exp_avg"].dtype == (np.float32 if small else np.int8)
        assert own["exp_avg_sq"].dtype == (np.float32 if small else np.uint8)
        assert own["exp_avg"].shape == param.shape
        if not small:
            assert own["exp_avg_scale"].shape == (-(-param.size // BLOCK),)
            assert codes["formats"][key] == {"exp_avg": "softsign8", "exp_avg_sq": "root8"}
        plain = {n for n in own if not n.endswith("_scale")}
        assert plain == values["state"][key].keys()
        assert values["state"][key]["exp_avg"].dtype == np.float32
    assert codes["formats_version"] == 1
    assert "formats" not in values
    assert codes["state_dtype"] == values["state_dtype"] == "8bit"
    for saved in (codes, values):
        for own in saved["state"].values():
            own["exp_avg"][...] = 0  # a copy
    assert opt.state[0]["exp_avg"].any()


@pytest.mark.parametrize("wanted", [None, "float32", "float16", "float64", "8bit", "softsign8"])
@pytest.mark.parametrize("decoded", [False, True])
def test_into_every_dtype(wanted, decoded):
    opt = trained()
    saved = {**opt.state_dict(decoded=decoded), "state_dtype": wanted}
    other = followed(opt, saved)
    other.step(drawn(9))
    held = other.state_dict()["state"][0]
    stored = {None: "float32", "8bit": "int8", "softsign8": "int8"}.get(wanted, wanted)
    if decoded and stored.startswith("float"):
        stored = "float32"  # floats stay in the dtype that they were saved in
    assert held["exp_avg"].dtype == stored
    theirs = new(state_dtype=None)
    values = {**opt.state_dict(decoded=True), "state_dtype": None}
    theirs.load_state_dict(values)
    for p, q in zip(opt._fused.params, theirs._fused.params):
        q[...] = p
    theirs.step(drawn(9))
    if stored == "float32":
        assert_same_bits(other._fused.params[0], theirs._fused.params[0], "from the same values")


@pytest.mark.parametrize("size", [None, 0, 1, 10, 4096, 4097, 10**9])
def test_the_size_from_which_on_states_have_8_bits(size):
    options = {} if size is None else {"min_8bit_size": size}
    opt = trained(**options)
    limit = 4096 if size is None else size
    for key, param in enumerate(drawn(0)):
        coded = opt.state_dict()["state"][key]["exp_avg"].dtype == np.int8
        assert coded == (param.size >= limit)
    other = new(state_dtype="8bit")  # whose limit is another
    other.load_state_dict(opt.state_dict())
    other.step(drawn(9))
    for key, param in enumerate(drawn(0)):
        assert (other.state_dict()["state"][key]["exp_avg"].dtype == np.int8) == (
            param.size >= 4096
        )


@pytest.mark.parametrize("decoded", [False, True])
def test_files(tmp_path, decoded):
    pytest.importorskip("safetensors")
    opt, path = trained(), tmp_path / "saved"
    opt.save(path)
    floats = sum(
        v.nbytes
        for s in opt.state_dict(decoded=True)["state"].values()
        for v in s.values()
        if isinstance(v, np.ndarray)
    )
    assert path.stat().st_size < 0.5 * floats
    other = followed(opt, trained(steps=1, state_dtype=None).state_dict())
    other.load(path)
    for one in (opt, other):
        one.step(drawn(9))
    assert_alike(opt, other)


def test_a_file_cut_or_changed_anywhere_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    opt, path = gpuopt.Adam([np.ones(40, np.float32)], state_dtype="8bit", min_8bit_size=0), None
    opt.step([np.linspace(-1, 1, 40, dtype=np.float32)])
    path = tmp_path / "saved"
    opt.save(path)
    content = path.read_bytes()
    other = gpuopt.Adam([np.ones(40, np.float32)])
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError):
            other.load(path)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises((ValueError, TypeError)):
            other.load(path)
    assert not other.state
    path.write_bytes(content)
    other.load(path)


ORDERS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "turned": lambda a: np.ascontiguousarray(a.transpose(1, 2, 0)).transpose(2, 0, 1),
    "with gaps": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
}


@pytest.mark.parametrize("through", ["dict", "file"])
@pytest.mark.parametrize("saved", ORDERS)
@pytest.mark.parametrize("loaded", ORDERS)
def test_a_block_is_of_the_memory_that_was_saved(saved, loaded, through, tmp_path):
    """Into another order they come as values; those are the ones that were saved."""
    start = np.random.default_rng(0).standard_normal((7, 30, 50)).astype(np.float32)
    grad = start * np.logspace(-6, 6, 50, dtype=np.float32)  # another block's scale is far off
    opt = gpuopt.Adam([ORDERS[saved](start)], state_dtype="8bit")
    opt.step([grad])
    other = gpuopt.Adam([ORDERS[loaded](start)], state_dtype="8bit")
    if through == "file":
        pytest.importorskip("safetensors")
        opt.save(tmp_path / "saved")
        other.load(tmp_path / "saved")
    else:
        other.load_state_dict(opt.state_dict())
    values = opt.state_dict(decoded=True)["state"][0]
    found = other._fused._states.values_of(0)
    for name in ("exp_avg", "exp_avg_sq"):
        assert_same_bits(
            np.ascontiguousarray(found[name]), np.ascontiguousarray(values[name]), name
        )
    if ORDERS[saved](start).strides == ORDERS[loaded](start).strides:
        assert other.state[0]["exp_avg"].dtype == np.int8
    else:
        other.step([grad])
        assert other.state[0]["exp_avg"].dtype == np.int8


def test_an_order_may_be_said_in_more_than_one_way():
    opt = trained()
    saved = {**opt.state_dict(), "orders": {0: [0, 1], 6: [1, 0]}}
    other = new()
    other.load_state_dict(saved)
    for key in (0, 6):
        assert other.state[key]["exp_avg"].dtype == np.int8


def spoilt(change):
    saved = copy.deepcopy(trained().state_dict())
    change(saved, saved["state"][0])
    return saved


SCALE = "exp_avg_scale"
BAD = {
    "no scales": (lambda s, own: own.pop(SCALE), ValueError, "expected the scales"),
    "too few scales": (
        lambda s, own: own.update({SCALE: own[SCALE][:-1]}),
        ValueError,
        r"expected float32 of shape \(200,\), got float32 of shape \(199,\)",
    ),
    "scales of another dtype": (
        lambda s, own: own.update({SCALE: own[SCALE].astype(np.float64)}),
        ValueError,
        "expected float32 of shape",
    ),
    "scales that are none": (lambda s, own: own.update({SCALE: "x"}), TypeError, "exp_avg_scale"),
    "codes of another dtype": (
        lambda s, own: own.update(exp_avg=own["exp_avg"].view(np.uint8)),
        TypeError,
        "expected one of int8, got uint8",
    ),
    "codes of another shape": (
        lambda s, own: own.update(exp_avg=own["exp_avg"].T),
        ValueError,
        r"expected shape \(64, 100\)",
    ),
    "no codes": (lambda s, own: own.pop("exp_avg"), ValueError, "expected"),
    "codes without a format": (lambda s, own: s["formats"].pop(0), ValueError, "expected"),
    "codes of a state without a format": (
        lambda s, own: (s["formats"][0].pop("exp_avg"), own.pop(SCALE)),
        TypeError,
        "expected one of float64.*, got int8",
    ),
    "an unknown format": (
        lambda s, own: s["formats"][0].update(exp_avg="softsign9"),
        ValueError,
        "in the format 'softsign9'; known: softsign8, root8; register_format adds others",
    ),
    "a format that is no name": (
        lambda s, own: s["formats"][0].update(exp_avg=["softsign8"]),
        ValueError,
        r"in the format \['softsign8'\]",
    ),
    "a newer version": (
        lambda s, own: s.update(formats_version=2),
        ValueError,
        "states in 8 bits of version 2, which a newer gpuopt has written",
    ),
    "formats that are no dict": (lambda s, own: s.update(formats=[1]), TypeError, "'formats'"),
    "an order of other axes": (
        lambda s, own: s.update(orders={0: [0, 2]}),
        ValueError,
        r"the axes of an array of shape \(64, 100\) in 'orders', got \[0, 2\]",
    ),
    "an order of no axes": (
        lambda s, own: s.update(orders={0: [0, True]}),
        ValueError,
        r"in 'orders', got \[0, True\]",
    ),
    "orders that are no dict": (lambda s, own: s.update(orders=3), ValueError, "'orders', got 3"),
    "formats of no array": (
        lambda s, own: s["formats"].update({99: {}}),
        ValueError,
        "unknown array 99",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_one_is_refused(case):
    change, error, said = BAD[case]
    saved = spoilt(change)
    opt = trained(steps=1)
    before = copy.deepcopy(opt.state_dict())
    with pytest.raises(error, match=said):
        opt.load_state_dict(saved)
    for key, own in before["state"].items():
        for name, value in own.items():
            assert np.array_equal(opt.state_dict()["state"][key][name], value)
    opt.step(drawn(2))


def test_the_codes_of_state_may_be_changed():
    opt, other = trained(), trained()
    opt.state[0][SCALE][...] = 0.0
    other.state[0]["exp_avg"][...] = 0
    for one in (opt, other):
        one.step(drawn(9))
    assert_same_bits(opt._fused.params[0], other._fused.params[0], "zeros, both ways")


def test_zeros_are_states_of_no_step():
    """What no gradient has reached is as good as new: scales of 0 stand for zeros."""
    opt = new(state_dtype="8bit")
    opt.step([np.zeros_like(p) for p in drawn(0)])
    values = opt.state_dict(decoded=True)["state"]
    assert all(not own["exp_avg"].any() and not own["exp_avg_sq"].any() for own in values.values())


# --- memory -------------------------------------------------------------------------------------

MILLION = 1 << 20
PIECES = 48 * (1 << 15) * 4
"""Bytes of the temporaries of one piece, generously: 32,768 elements in each of 48 arrays."""


def peak(function):
    """Return the most bytes that were allocated at once during a call, above those before it."""
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def large(dtype="8bit"):
    opt = gpuopt.Adam([np.ones(8 * MILLION, np.float32)], state_dtype=dtype)
    grad = np.full(8 * MILLION, 0.5, np.float32)
    opt.step([grad])
    return opt, grad


def test_no_step_has_decoded_more_than_a_piece():
    opt, grad = large()
    used, _ = peak(lambda: opt.step([grad]))
    assert used < PIECES  # a decoded state is 32 MiB


def test_a_state_dict_takes_no_more_than_its_result():
    opt, _ = large()
    codes = 2 * (8 * MILLION + 8 * MILLION // BLOCK * 4)
    used, _ = peak(opt.state_dict)
    assert codes <= used < codes + PIECES
    used, _ = peak(lambda: opt.state_dict(decoded=True))
    assert 2 * 32 * MILLION <= used < 2 * 32 * MILLION + PIECES


def test_loaded_values_become_codes_piece_by_piece():
    opt, grad = large()
    opt.load_state_dict(opt.state_dict(decoded=True))
    codes = 2 * (8 * MILLION + 8 * MILLION // BLOCK * 4)
    used, _ = peak(lambda: opt.step([grad]))
    assert used < codes + PIECES
    assert opt.state[0]["exp_avg"].dtype == np.int8


def test_each_piece_has_its_own_scales():
    """Values grow from piece to piece: with the scales of another, they would be far off."""
    size = 3 * (1 << 15) + 77
    param, grad = np.zeros(size, np.float32), np.linspace(1.0, 4.0, size, dtype=np.float32)
    opt = gpuopt.Adam([param], betas=(0.5, 0.5), state_dtype="8bit")
    opt.step([grad])
    for _ in range(2):
        values = opt.state_dict(decoded=True)
        assert np.abs(values["state"][0]["exp_avg"] / (0.5 * grad) - 1.0).max() < 1.0 / 60
        opt.load_state_dict(values)


def test_the_formats_of_the_library():
    assert list(FORMATS) == ["softsign8", "root8"]
