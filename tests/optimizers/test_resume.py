"""State dicts and files: a resumed run has the bits of one that was never interrupted."""

import os
import stat
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import gpuopt
from tests.helpers.bits import plain
from tests.helpers.optimizers import (
    OPTIMIZERS,
    STRUCTURES,
    VARIANTS,
    arrays,
    everything,
    frozen,
    gradients,
    make,
)
from tests.helpers.values import DTYPES

pytest.importorskip("safetensors")


def through_state_dict(optimizer, fresh, folder):
    fresh.load_state_dict(optimizer.state_dict())


def through_file(optimizer, fresh, folder):
    optimizer.save(folder / "state")
    fresh.load(folder / "state")


THROUGH = {"state_dict": through_state_dict, "file": through_file}


@pytest.fixture(params=THROUGH)
def hand_over(request, tmp_path):
    """Each way of handing the states of one optimizer over to another."""
    return lambda optimizer, fresh: THROUGH[request.param](optimizer, fresh, tmp_path)


def copied(params):
    return [p.copy(order="K") for p in params]


def fresh_with_defaults(name, params, options):
    """An optimizer that knows nothing yet: its options come with the states."""
    kept = {"state_dtype": options["state_dtype"]} if "state_dtype" in options else {}
    return OPTIMIZERS[name](params, **{**kept, **({"lr": 9.0} if "lr" in options else {})})


# --- the same bits ----------------------------------------------------------------------------


def resting_at_first(step):
    """Array 2 has its first gradient at step 3, after the interruption; array 4 rests at 2."""
    grads = gradients(step)
    if step < 3:
        grads[2] = None
    if step == 2:
        grads[4] = None
    return grads


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_optimizer_resumes_with_the_same_bits(numpy_backend, hand_over, name, options):
    params = arrays(0)
    optimizer = make(name, params, **options)
    for step in range(2):
        optimizer.step(resting_at_first(step))
    resumed_params = copied(params)
    resumed = fresh_with_defaults(name, resumed_params, options)
    hand_over(optimizer, resumed)
    assert everything(resumed, resumed_params) == everything(optimizer, params)
    for step in range(2, 5):
        optimizer.step(resting_at_first(step))
        resumed.step(resting_at_first(step))
        assert everything(resumed, resumed_params) == everything(optimizer, params)
    assert [held["step"] for held in resumed.state.values()] == [5, 5, 2, 5, 4]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_every_optimizer_resumes_on_another_backend(name, options):
    pytest.importorskip("llvmlite")
    params, expected = arrays(0), arrays(0)
    optimizer, reference = make(name, params, **options), make(name, expected, **options)
    with gpuopt.use_backend("numpy"):
        for step in range(3):
            reference.step(gradients(step))
            if step < 2:
                optimizer.step(gradients(step))
    resumed = fresh_with_defaults(name, params, options)
    resumed.load_state_dict(optimizer.state_dict())
    with gpuopt.use_backend("llvm"):
        resumed.step(gradients(2))
    assert everything(resumed, params) == everything(reference, expected)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_resumes(backend, hand_over, structure):
    structure = STRUCTURES[structure]
    params = arrays(0)
    optimizer = gpuopt.Adam(structure.params(params), lr=0.5)
    optimizer.step(structure.grads(gradients(0)))
    resumed_params = copied(params)
    resumed = gpuopt.Adam(structure.params(resumed_params))
    hand_over(optimizer, resumed)
    for step in (1, 2):
        for each in (optimizer, resumed):
            each.step(structure.grads(gradients(step)))
    assert everything(resumed, resumed_params) == everything(optimizer, params)


def test_each_group_gets_its_options_back(numpy_backend, hand_over):
    params = arrays(0)
    optimizer = gpuopt.Adam(
        [{"params": params[:2], "lr": 0.5}, {"params": params[2:], "amsgrad": True}]
    )
    optimizer.param_groups[1]["betas"] = (0.5, 0.25)
    optimizer.step([gradients(0)[:2], gradients(0)[2:]])
    resumed = gpuopt.Adam([{"params": copied(params[:2])}, {"params": copied(params[2:])}])
    hand_over(optimizer, resumed)
    assert [dict(g) for g in resumed.param_groups] == [dict(g) for g in optimizer.param_groups]
    assert resumed.param_groups[0]["lr"] == 0.5
    assert resumed.param_groups[1]["amsgrad"] is True
    assert resumed.param_groups[1]["betas"] == (0.5, 0.25)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("Adam", "amsgrad", True),
        ("AdamW", "amsgrad", True),
        ("RMSProp", "momentum", 0.5),
        ("RMSProp", "centered", True),
        ("Momentum", "nesterov", True),
    ],
)
@pytest.mark.parametrize("on_first", [False, True])
def test_an_option_that_changes_the_states_just_before(
    numpy_backend, hand_over, name, option, value, on_first
):
    """States that the new rule lacks, or that only the old one had, survive."""
    params = arrays(0)
    off = type(value)(0)
    optimizer = make(name, params)
    setattr(optimizer, option, value if on_first else off)
    for step in range(2):
        optimizer.step(gradients(step))
    setattr(optimizer, option, off if on_first else value)
    resumed_params = copied(params)
    resumed = make(name, resumed_params)
    hand_over(optimizer, resumed)
    for step in range(2, 6):
        if step == 4:  # and back
            for each in (optimizer, resumed):
                setattr(each, option, value if on_first else off)
        for each in (optimizer, resumed):
            each.step(gradients(step))
    assert everything(resumed, resumed_params) == everything(optimizer, params)


def test_before_the_first_step_there_is_nothing_but_options(numpy_backend, hand_over):
    optimizer = gpuopt.Adam(arrays(0), lr=0.5)
    params = arrays(0)
    resumed = gpuopt.Adam(params)
    resumed.step(gradients(0))
    hand_over(optimizer, resumed)
    assert resumed.state == {}
    assert resumed.lr == 0.5


def test_an_optimizer_goes_back_to_its_own_past(backend, hand_over):
    """Loading replaces states, counts and options also where a step has been taken since."""
    params = arrays(0)
    optimizer = gpuopt.Adam(params, lr=0.5)
    optimizer.step(gradients(0))
    past_params, past = copied(params), optimizer.state_dict()
    hold = gpuopt.Adam(arrays(0))
    hand_over(optimizer, hold)
    optimizer.lr = 0.25
    optimizer.step(gradients(1))
    future = everything(optimizer, params)
    for load in (lambda: optimizer.load_state_dict(past), lambda: hand_over(hold, optimizer)):
        for array, source in zip(params, past_params):
            array[...] = source
        load()
        assert optimizer.lr == 0.5
        assert {held["step"] for held in optimizer.state.values()} == {1}
        optimizer.lr = 0.25
        optimizer.step(gradients(1))
        assert everything(optimizer, params) == future


def test_loading_twice_between_two_steps(backend):
    """What was worked out for the options before is not mistaken for what the new ones need."""
    param, grad = np.zeros(1, np.float32), np.ones(1, np.float32)
    optimizer = gpuopt.SGD([param], lr=1.0)
    saved = []
    for lr in (1.0, 2.0, 4.0):
        optimizer.lr = lr
        saved.append((lr, optimizer.state_dict()))
    for _ in range(20):
        for lr, state_dict in saved:
            for _, other in saved:
                optimizer.load_state_dict(other)
            optimizer.load_state_dict(state_dict)
            param[...] = 0
            optimizer.step([grad])
            assert param[0] == -lr


# --- dtypes and memory orders -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "param", "state"),
    [
        *(("numpy", param, state) for param in DTYPES for state in (None, *DTYPES)),
        ("llvm", "float64", None),  # a state is stored the same way whatever computes it
        ("llvm", "bfloat16", "bfloat16"),
    ],
    indirect=["backend"],
)
def test_states_keep_their_dtype(backend, hand_over, param, state):
    """Never that of the parameter, and never float32 for everything.

    float64 moments narrowed on load; states kept in the parameter's dtype, or cast to it by
    load_state_dict.
    """
    params = arrays(0, dtype=DTYPES[param])
    optimizer = gpuopt.Adam(params, state_dtype=state)
    optimizer.step(gradients(0, dtype=DTYPES[param]))
    expected = np.dtype(DTYPES[state or ("float64" if param == "float64" else "float32")])
    resumed_params = copied(params)
    resumed = gpuopt.Adam(resumed_params)  # another state_dtype: what is saved counts
    hand_over(optimizer, resumed)
    for held in resumed.state.values():
        assert held["exp_avg"].dtype == held["exp_avg_sq"].dtype == expected
    for step in (1, 2):
        for each in (optimizer, resumed):
            each.step(gradients(step, dtype=DTYPES[param]))
    assert everything(resumed, resumed_params) == everything(optimizer, params)


def test_float64_states_keep_every_bit(numpy_backend, hand_over):
    params = [np.zeros(1)]
    optimizer = gpuopt.Momentum(params, lr=1.0)
    optimizer.step([np.full(1, 1 / 3)])
    resumed = gpuopt.Momentum([np.zeros(1)], lr=1.0)
    hand_over(optimizer, resumed)
    assert float(resumed.state[0]["momentum_buffer"][0]) == 1 / 3


ORDERS = {
    "F": lambda a: np.asfortranarray(a),
    "channels_last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "permuted": lambda a: np.ascontiguousarray(a.transpose(2, 0, 3, 1)).transpose(1, 3, 0, 2),
    "gaps": lambda a: np.repeat(a, 2, axis=3)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
}


@pytest.mark.parametrize("order", ORDERS)
def test_memory_orders_are_kept(backend, hand_over, order):
    shapes = ((2, 3, 4, 5),)
    params = [ORDERS[order](arrays(0, shapes)[0])]
    resumed_params = [ORDERS[order](arrays(0, shapes)[0])]
    optimizer = gpuopt.Adam(params)
    optimizer.step(gradients(0, shapes))
    resumed_params[0][...] = params[0]
    resumed = gpuopt.Adam(resumed_params)
    hand_over(optimizer, resumed)
    assert resumed_params[0].strides == params[0].strides
    for name in ("exp_avg", "exp_avg_sq"):
        assert resumed.state[0][name].strides == optimizer.state[0][name].strides
    for step in (1, 2):
        for each in (optimizer, resumed):
            each.step(gradients(step, shapes))
    assert everything(resumed, resumed_params) == everything(optimizer, params)


@pytest.mark.parametrize("order", ORDERS)
def test_a_state_goes_to_its_element_in_whatever_order(numpy_backend, hand_over, order):
    """Saved from C order, loaded over another: by index, not by place in memory."""
    shapes = ((2, 3, 4, 5),)
    params = arrays(0, shapes)
    optimizer = gpuopt.Momentum(params, lr=1.0)
    optimizer.step(gradients(0, shapes))
    resumed = gpuopt.Momentum([ORDERS[order](params[0])], lr=1.0)
    hand_over(optimizer, resumed)
    assert (resumed.state[0]["momentum_buffer"] == gradients(0, shapes)[0]).all()


# --- torch ----------------------------------------------------------------------------------


def tensors(seed, dtype):
    torch = pytest.importorskip("torch")
    made = [torch.from_numpy(a).to(getattr(torch, dtype)) for a in arrays(seed)]
    image = torch.from_numpy(arrays(seed, ((2, 3, 4, 5),))[0]).to(getattr(torch, dtype))
    return [*made, image.contiguous(memory_format=torch.channels_last)]


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [*(("numpy", dtype) for dtype in DTYPES), ("llvm", "float32"), ("llvm", "bfloat16")],
    indirect=["backend"],
)
def test_tensors(backend, hand_over, dtype):
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(t) for t in tensors(0, dtype)]
    optimizer = gpuopt.Adam(params)
    optimizer.step(tensors(1000, dtype))
    resumed_params = [torch.nn.Parameter(p.detach().clone()) for p in params]
    resumed = gpuopt.Adam(resumed_params)
    hand_over(optimizer, resumed)
    expected = torch.float64 if dtype == "float64" else torch.float32
    for param, held in zip(resumed_params, resumed.state.values()):
        for name in ("exp_avg", "exp_avg_sq"):
            assert type(held[name]) is torch.Tensor
            assert held[name].dtype == expected
            assert held[name].stride() == param.stride()
            assert not held[name].requires_grad
    for step in (1001, 1002):
        for each in (optimizer, resumed):
            each.step(tensors(step, dtype))
    assert everything(resumed, resumed_params) == everything(optimizer, params)


def test_states_of_tensors_go_to_arrays_and_back(numpy_backend, hand_over):
    torch = pytest.importorskip("torch")
    params = arrays(0)
    optimizer = gpuopt.Adam(params, state_dtype="bfloat16")
    optimizer.step(gradients(0))
    as_tensors = [torch.from_numpy(p.copy()) for p in params]
    over_tensors = gpuopt.Adam(as_tensors)
    hand_over(optimizer, over_tensors)
    assert over_tensors.state[0]["exp_avg"].dtype == torch.bfloat16
    for each in (optimizer, over_tensors):
        each.step(gradients(1))
    back = gpuopt.Adam(copied(params))
    hand_over(over_tensors, back)
    assert everything(back, as_tensors) == everything(optimizer, params)


# --- snapshots ------------------------------------------------------------------------------------


def test_a_state_dict_is_a_snapshot(backend):
    params = arrays(0)
    optimizer = gpuopt.Adam(params)
    optimizer.step(gradients(0))
    taken = optimizer.state_dict()
    held = {
        key: {n: v if n == "step" else frozen(v) for n, v in s.items()}
        for key, s in taken["state"].items()
    }
    groups = [dict(g) for g in taken["param_groups"]]
    optimizer.step(gradients(1))
    optimizer.lr = 9.0
    assert [dict(g) for g in taken["param_groups"]] == groups
    for key, state in taken["state"].items():
        assert {n: v if n == "step" else frozen(v) for n, v in state.items()} == held[key]
        for name in ("exp_avg", "exp_avg_sq"):
            assert not np.shares_memory(state[name], optimizer.state[key][name])


def test_writing_into_a_state_dict_changes_no_optimizer(backend):
    """Neither the one it came from nor the one that it went into."""
    params = arrays(0)
    optimizer, other_params = gpuopt.Adam(params), arrays(0)
    optimizer.step(gradients(0))
    other = gpuopt.Adam(other_params)
    taken = optimizer.state_dict()
    other.load_state_dict(taken)
    before = everything(optimizer, params), everything(other, other_params)
    for state in taken["state"].values():
        state["step"] = 77
        state["exp_avg"][...] = 77
        state["exp_avg_sq"][...] = 77
    taken["param_groups"][0]["lr"] = 77.0
    taken["param_groups"][0]["params"].clear()
    taken["state"].clear()
    assert (everything(optimizer, params), everything(other, other_params)) == before
    assert optimizer.state_dict()["param_groups"][0]["params"] == [0, 1, 2, 3, 4]


def test_loading_does_not_change_the_state_dict(backend):
    optimizer = gpuopt.Adam(arrays(0))
    optimizer.step(gradients(0))
    taken = optimizer.state_dict()
    held = frozen(taken["state"][0]["exp_avg"])
    params = arrays(0)
    for _ in range(2):
        other = gpuopt.Adam(params)
        other.load_state_dict(taken)
        other.step(gradients(1))
    assert frozen(taken["state"][0]["exp_avg"]) == held
    assert taken["state"][0]["step"] == 1


def test_a_state_dict_says_what_it_is():
    optimizer = gpuopt.Adam([{"params": arrays(0)[:1], "lr": 0.5}, {"params": {"w": arrays(1)[0]}}])
    optimizer.step([gradients(0)[:1], {"w": gradients(1)[0]}])
    taken = optimizer.state_dict()
    assert taken["optimizer"] == "Adam"
    assert list(taken["state"]) == [0, "w"]
    assert [g["params"] for g in taken["param_groups"]] == [[0], ["w"]]
    assert [g["lr"] for g in taken["param_groups"]] == [0.5, 1e-3]


# --- files ----------------------------------------------------------------------------------------


def trained():
    optimizer = gpuopt.Adam(arrays(0))
    optimizer.step(gradients(0))
    return optimizer


def assert_holds(path, optimizer):
    """The file holds the states of ``optimizer``, and its folder nothing else."""
    params = arrays(0)
    loaded = gpuopt.Adam(params)
    loaded.load(path)
    assert everything(loaded, params)[1:] == everything(optimizer, params)[1:]
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]


@pytest.mark.parametrize(
    "kind", [str, Path, lambda path: type("P", (), {"__fspath__": lambda s: str(path)})()]
)
def test_a_path_is_a_str_or_a_path(tmp_path, kind):
    optimizer = trained()
    optimizer.save(kind(tmp_path / "state.safetensors"))
    loaded = gpuopt.Adam(arrays(0))
    loaded.load(kind(tmp_path / "state.safetensors"))
    assert everything(loaded, [])[1:] == everything(optimizer, [])[1:]


LONG = "x" * (200 if os.name == "posix" else 80)  # Windows may limit the whole path to 260


@pytest.mark.parametrize("name", ["state", "a b.c", ".hidden", "Gewichte-ß-权重", LONG])
def test_a_path_relative_to_the_working_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    optimizer = trained()
    optimizer.save(name)
    assert_holds(str(tmp_path / name), optimizer)


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path):
    optimizer = trained()
    path = tmp_path / "state"
    path.write_bytes(b"something older, and longer than what is written now" * 1000)
    for step in range(3):
        optimizer.step(gradients(step))
        optimizer.save(path)
        assert_holds(path, optimizer)


@pytest.mark.skipif(os.name != "posix", reason="Windows replaces no file that is open")
def test_a_file_that_is_open_elsewhere_keeps_its_content(tmp_path):
    optimizer = trained()
    path = tmp_path / "state"
    optimizer.save(path)
    before = path.read_bytes()
    with open(path, "rb") as file:
        optimizer.step(gradients(1))
        optimizer.save(path)
        assert file.read() == before
    assert path.read_bytes() != before


NAMES = (
    "layer.0.weight",
    "layer",
    "layer.0",
    ".",
    "a..b.",
    "step",
    "params",
    "",
    "0",
    "ß 权重/x\n",
)


def test_names_of_every_kind(tmp_path):
    params = {name: arrays(i)[0] for i, name in enumerate(NAMES)}
    optimizer = gpuopt.Adam(params)
    optimizer.step({name: gradients(i)[0] for i, name in enumerate(NAMES)})
    optimizer.save(tmp_path / "state")
    loaded = gpuopt.Adam({name: array.copy() for name, array in params.items()})
    loaded.load(tmp_path / "state")
    assert list(loaded.state) == list(NAMES)
    assert everything(loaded, [])[1:] == everything(optimizer, [])[1:]


def test_a_file_is_plain_safetensors(tmp_path):
    """Others can read it: torch's names, the array's name before the last dot."""
    from safetensors.numpy import load_file

    optimizer = gpuopt.Adam({"layer.w": arrays(0)[0]}, state_dtype="bfloat16")
    optimizer.step({"layer.w": gradients(0)[0]})
    optimizer.save(tmp_path / "state")
    held = load_file(tmp_path / "state")
    assert set(held) == {"layer.w.exp_avg", "layer.w.exp_avg_sq"}
    bits = plain(optimizer.state["layer.w"]["exp_avg"]).view(np.uint16)
    assert (held["layer.w.exp_avg"] == bits).all()


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="file permissions of POSIX")
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_the_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    optimizer = trained()
    with umask(mask):
        (tmp_path / "any").touch()
        optimizer.save(tmp_path / "state")
        assert os.umask(mask) == mask
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("any", "state")]
    assert modes == [0o666 & ~mask] * 2


def test_without_safetensors_the_message_says_what_to_install(tmp_path, monkeypatch):
    import sys

    optimizer = trained()
    optimizer.save(tmp_path / "state")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for act in (optimizer.save, optimizer.load):
        with pytest.raises(ImportError, match=r"safetensors: pip install 'gpuopt\[cpu\]'"):
            act(tmp_path / "state")
    monkeypatch.undo()
    assert_holds(tmp_path / "state", optimizer)


@pytest.mark.parametrize("through_a_file", [False, True])
def test_states_made_after_a_load_have_the_state_dtype_that_was_saved(tmp_path, through_a_file):
    def two():
        return [np.zeros(4, np.float32), np.zeros(4, np.float32)]

    grad = np.ones(4, np.float32)
    optimizer = gpuopt.Momentum(two(), lr=0.1, state_dtype="float16")
    optimizer.step([grad, None])
    resumed = gpuopt.Momentum(two(), lr=0.1)
    if through_a_file:
        optimizer.save(tmp_path / "o.safetensors")
        resumed.load(tmp_path / "o.safetensors")
    else:
        resumed.load_state_dict(optimizer.state_dict())
    resumed.step([None, grad])
    assert [s["momentum_buffer"].dtype for s in resumed.state.values()] == [np.float16] * 2


def test_a_state_dict_with_a_state_dtype_that_is_none_changes_nothing():
    optimizer = gpuopt.Momentum([np.zeros(4, np.float32)], lr=0.1)
    saved = {**optimizer.state_dict(), "state_dtype": "int8"}
    with pytest.raises(ValueError, match="state_dtype: expected None or one of"):
        optimizer.load_state_dict(saved)


def test_a_learning_rate_that_is_a_tensor_stays_that_tensor():
    torch = pytest.importorskip("torch")
    rate = torch.tensor(0.5)
    optimizer = gpuopt.SGD([torch.zeros(2)], lr=rate)
    saved = optimizer.state_dict()
    rate.fill_(0.125)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.5
