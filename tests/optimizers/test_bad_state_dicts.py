"""States that are not this optimizer's, and files that are none, are refused untouched."""

import copy
import json
import pickle

import numpy as np
import pytest

import gpuopt
from tests.helpers.files import BELOW_A_FILE
from tests.helpers.optimizers import OPTIMIZERS, VARIANTS, Pair, arrays, gradients, make

LIBRARY = pytest.importorskip("safetensors.numpy")


def good(pair):
    """A state dict that the optimizer takes: its own."""
    return pair.optimizer.state_dict()


def changed(part):
    """What makes a bad state dict of a good one by replacing a part of it."""

    def spoil(taken):
        part(taken)
        return taken

    return spoil


def replace(path, value):
    """Replace what stands at ``path``; a function computes it from what stood there."""

    def part(taken):
        for key in path[:-1]:
            taken = taken[key]
        taken[path[-1]] = value(taken[path[-1]]) if callable(value) else value

    return changed(part)


def remove(*path):
    def part(taken):
        for key in path[:-1]:
            taken = taken[key]
        del taken[path[-1]]

    return changed(part)


M = ("state", 0, "exp_avg")
GROUP = ("param_groups", 0)

BAD = {
    "nothing": (lambda t: None, TypeError, ("a dict with 'optimizer', 'state'", "NoneType")),
    "a list": (lambda t: [t], TypeError, ("a dict with 'optimizer', 'state'", "list")),
    "empty": (lambda t: {}, ValueError, ("'optimizer', 'state', 'param_groups'",)),
    "no optimizer": (remove("optimizer"), ValueError, ("'optimizer', 'state', 'param_groups'",)),
    "no state": (remove("state"), ValueError, ("'optimizer', 'state', 'param_groups'",)),
    "no groups": (remove("param_groups"), ValueError, ("'optimizer', 'state', 'param_groups'",)),
    "another optimizer": (replace(("optimizer",), "SGD"), ValueError, ("Adam", "'SGD'")),
    "an unhashable optimizer": (replace(("optimizer",), ["Adam"]), ValueError, ("['Adam']",)),
    # states
    "states no dict": (replace(("state",), []), TypeError, ("'state'", "list")),
    "state no dict": (replace(("state", 4), [1]), TypeError, ("params[4]", "list")),
    "unknown array": (replace(("state", 9), {"step": 1}), ValueError, ("unknown array 9",)),
    "unhashable": (lambda t: {**t, "state": Strange()}, ValueError, ("unknown array [1]",)),
    "named array": (replace(("state", "0"), {"step": 1}), ValueError, ("unknown array '0'",)),
    "a missing state": (remove("state", 4, "exp_avg"), ValueError, ("params[4]", "exp_avg")),
    "all states missing": (
        replace(("state", 4), {"step": 2}),
        ValueError,
        ("params[4]", "('exp_avg', 'exp_avg_sq')", "()"),
    ),
    "an unknown state": (
        replace(("state", 4, "momentum_buffer"), np.zeros((2, 3, 4), np.float32)),
        ValueError,
        ("params[4]", "momentum_buffer"),
    ),
    "a state transposed": (replace(M, np.transpose), ValueError, ("(3, 5)", "(5, 3)", "exp_avg")),
    "a state broadcast": (replace(M, lambda s: s[:1]), ValueError, ("(3, 5)", "(1, 5)")),
    "a state flat": (replace(M, np.ravel), ValueError, ("(3, 5)", "(15,)")),
    "a state one number": (replace(M, lambda s: s[0, 0]), TypeError, ("params[0]['exp_avg']",)),
    "a state of ints": (replace(M, lambda s: s.astype(int)), TypeError, ("exp_avg", "int64")),
    "a state non-native": (replace(M, lambda s: s.astype(">f4")), TypeError, ("exp_avg", ">f4")),
    "a state as list": (replace(M, lambda s: s.tolist()), TypeError, ("exp_avg", "list")),
    "a state None": (replace(M, None), TypeError, ("exp_avg", "NoneType")),
    # steps
    "no step": (remove("state", 4, "step"), TypeError, ("params[4]", "step", "None")),
    "step negative": (replace(("state", 4, "step"), -1), ValueError, ("params[4]", "step", "-1")),
    "step a float": (replace(("state", 4, "step"), 2.0), TypeError, ("params[4]", "step", "2.0")),
    "step a bool": (replace(("state", 4, "step"), True), TypeError, ("params[4]", "step", "True")),
    "step text": (replace(("state", 4, "step"), "2"), TypeError, ("params[4]", "step", "'2'")),
    "step an array": (replace(("state", 4, "step"), np.ones(1)), TypeError, ("params[4]", "step")),
    "step too large": (replace(("state", 4, "step"), 2**63), ValueError, ("params[4]", "step")),
    # groups
    "groups no list": (replace(("param_groups",), 1), TypeError, ("'param_groups'", "got 1")),
    "groups None": (replace(("param_groups",), None), TypeError, ("'param_groups'", "None")),
    "groups of no dicts": (replace(GROUP, 1), TypeError, ("'param_groups'", "got [1]")),
    "no group": (replace(("param_groups",), []), ValueError, ("[[0, 1, 2, 3, 4]]", "got []")),
    "two groups": (
        replace(("param_groups",), lambda g: g * 2),
        ValueError,
        ("[[0, 1, 2, 3, 4]]", "got [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]"),
    ),
    "too few arrays": (replace((*GROUP, "params"), [0]), ValueError, ("got [[0]]",)),
    "other order": (replace((*GROUP, "params"), [1, 0, 2, 3, 4]), ValueError, ("got [[1, 0",)),
    "other names": (replace((*GROUP, "params"), list("abcde")), ValueError, ("got [['a'",)),
    "no arrays": (remove(*GROUP, "params"), ValueError, ("got [None]",)),
    "arrays a number": (replace((*GROUP, "params"), 5), ValueError, ("got [5]",)),
    "a missing option": (remove(*GROUP, "eps"), ValueError, ("options", "'eps'")),
    "an unknown option": (replace((*GROUP, "foreach"), True), ValueError, ("options", "'foreach'")),
    "lr negative": (replace((*GROUP, "lr"), -1.0), ValueError, ("lr", "-1.0")),
    "lr nan": (replace((*GROUP, "lr"), float("nan")), ValueError, ("lr", "nan")),
    "lr text": (replace((*GROUP, "lr"), "0.5"), TypeError, ("lr", "'0.5'")),
    "betas": (replace((*GROUP, "betas"), [0.5, 1.0]), ValueError, ("betas[1]", "1.0")),
    "amsgrad a number": (replace((*GROUP, "amsgrad"), 1), TypeError, ("amsgrad", "got 1")),
    # the states do not match the options
    "amsgrad without its state": (
        replace((*GROUP, "amsgrad"), True),
        ValueError,
        ("params[0]", "max_exp_avg_sq"),
    ),
}


class Strange(dict):
    """A dict whose key is no key of anything."""

    def __iter__(self):
        yield [1]


@pytest.mark.parametrize("case", BAD)
def test_bad_state_dicts(backend, case):
    spoil, error, words = BAD[case]
    pair = Pair()
    with pair.refuses(error, "state_dict: ", *words):
        pair.optimizer.load_state_dict(spoil(good(pair)))
    pair.optimizer.load_state_dict(good(pair))
    pair.goes_on()


@pytest.mark.parametrize("case", BAD)
def test_bad_state_dicts_of_an_optimizer_that_has_not_begun(numpy_backend, case):
    spoil, error, words = BAD[case]
    trained, pair = Pair(), Pair(steps=0)
    with pair.refuses(error, *words):
        pair.optimizer.load_state_dict(spoil(good(trained)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_refuses_the_states_of_every_other(numpy_backend, name):
    pair = Pair(optimizer=name)
    for other, options in VARIANTS:
        if other != name:
            optimizer = make(other, arrays(0), **options)
            optimizer.step(gradients(0))
            with pair.refuses(ValueError, "state_dict: expected that of", name, repr(other)):
                pair.optimizer.load_state_dict(optimizer.state_dict())


def test_states_of_other_structures(numpy_backend):
    for ours in ("list", "dict", "groups"):
        for other in ("list", "dict", "groups"):
            if other != ours:
                pair = Pair(ours)
                with pair.refuses(ValueError, "state_dict: expected groups of the arrays"):
                    pair.optimizer.load_state_dict(good(Pair(other)))


def test_states_of_other_arrays(numpy_backend):
    pair = Pair()
    for shapes, said in (
        (((3, 5), (), (17,), (0, 4)), "expected groups of the arrays"),
        (((3, 5), (), (17,), (0, 4), (4, 3, 2)), "expected shape (2, 3, 4), got (4, 3, 2)"),
        (((5, 3), (), (17,), (0, 4), (2, 3, 4)), "expected shape (3, 5), got (5, 3)"),
        (((3, 5), (1,), (17,), (0, 4), (2, 3, 4)), "expected shape (), got (1,)"),
        (((3, 5), (), (17,), (4, 0), (2, 3, 4)), "expected shape (0, 4), got (4, 0)"),
    ):
        other = gpuopt.Adam(arrays(0, shapes))
        other.step(gradients(0, shapes))
        with pair.refuses(ValueError, "state_dict", said):
            pair.optimizer.load_state_dict(other.state_dict())


def test_a_state_dict_of_torch(numpy_backend):
    torch = pytest.importorskip("torch")
    params = [torch.nn.Parameter(torch.from_numpy(a)) for a in arrays(0)]
    theirs = torch.optim.Adam(params)
    for param, grad in zip(params, gradients(0)):
        param.grad = torch.from_numpy(grad)
    theirs.step()
    pair = Pair()
    words = "'optimizer', 'state', 'param_groups'", "(as torch's optimizers have)"
    with pair.refuses(ValueError, *words):
        pair.optimizer.load_state_dict(theirs.state_dict())


# --- files ----------------------------------------------------------------------------------------


def refused_file(pair, path, *words, error=ValueError):
    named = str(path) if error is ValueError else repr(str(path))  # as an OSError writes it
    with pair.refuses(error, named, *words):
        pair.optimizer.load(path)


@pytest.fixture
def saved(tmp_path):
    """Two equal optimizers, and a file that both could read."""
    pair = Pair()
    pair.optimizer.save(tmp_path / "good")
    return pair, tmp_path / "good"


def test_a_file_cut_anywhere(saved, backend):
    pair, path = saved
    content = path.read_bytes()
    cuts = {0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 4, len(content) - 1}
    for length in sorted(cuts):
        path.write_bytes(content[:length])
        refused_file(pair, path, "damaged")
    path.write_bytes(content + b"more")
    refused_file(pair, path, "damaged")


def test_files_of_others(saved, tmp_path):
    pair, _ = saved
    tensors = {"0.exp_avg": np.zeros((3, 5), np.float32)}
    for name, write in {
        "text": lambda p: p.write_text("a text, and long enough to have a header " * 10),
        "json": lambda p: p.write_text(json.dumps({"lr": 1})),
        "zeros": lambda p: p.write_bytes(bytes(1000)),
        "ones": lambda p: p.write_bytes(b"\xff" * 1000),
        "pickle": lambda p: p.write_bytes(pickle.dumps(pair.optimizer.state_dict())),
        "other.npz": lambda p: np.savez(p, **tensors),
    }.items():
        write(tmp_path / name)
        refused_file(pair, tmp_path / name, "not a safetensors file")
    for name, header in {
        "no header": None,
        "other header": {"format": "pt"},
        "another version": {"format": "gpuopt-optimizer-0"},
    }.items():
        LIBRARY.save_file(tensors, tmp_path / name, header)
        refused_file(pair, tmp_path / name, "not a gpuopt file", "gpuopt-optimizer-1")


def test_a_model_of_torch(saved, tmp_path):
    """Its element types are more than NumPy knows."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    pair, _ = saved
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float32):
        save_file({"w": torch.zeros(3, 5, dtype=dtype)}, tmp_path / "model", {"format": "pt"})
        refused_file(pair, tmp_path / "model", "not a gpuopt file", "'pt'")


def rewritten(path, change):
    """Write the file anew without a checksum, with other contents behind the right format."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    del header["checksum"]
    header = {k: v if k in ("format", "optimizer") else json.loads(v) for k, v in header.items()}
    change(header, tensors)
    header = {k: v if isinstance(v, str) else json.dumps(v) for k, v in header.items()}
    LIBRARY.save_file(tensors, path, header)


DAMAGE = {
    "no optimizer": lambda h, t: h.pop("optimizer"),
    "no groups": lambda h, t: h.pop("param_groups"),
    "no steps": lambda h, t: h.pop("steps"),
    "no dtypes": lambda h, t: h.pop("dtypes"),
    "no JSON": lambda h, t: h.update(steps="{"),
    "steps a list": lambda h, t: h.update(steps=[1, 2]),
    "steps null": lambda h, t: h.update(steps=None),
    "dtypes a list": lambda h, t: h.update(dtypes=[1, 2]),
    "groups a number": lambda h, t: h.update(param_groups=1),
    "groups of numbers": lambda h, t: h.update(param_groups=[1]),
    "group without arrays": lambda h, t: h["param_groups"][0].pop("params"),
    "a step of no array": lambda h, t: h["steps"].update({"77": 1}),
    "a dtype of no array": lambda h, t: h["dtypes"].update({"77.exp_avg": "float32"}),
    "a dtype of no tensor": lambda h, t: h["dtypes"].update({"0.other": "float32"}),
    "a dtype that is none": lambda h, t: h["dtypes"].update({"0.exp_avg": "int8"}),
    "a dtype that is wrong": lambda h, t: h["dtypes"].update({"0.exp_avg": "bfloat16"}),
    "a dtype that is wider": lambda h, t: h["dtypes"].update({"0.exp_avg": "float64"}),
    "a dtype that is a list": lambda h, t: h["dtypes"].update({"0.exp_avg": ["float32"]}),
    "a tensor less": lambda h, t: t.pop("0.exp_avg"),
    "a tensor of other type": lambda h, t: t.update({"0.exp_avg": t["0.exp_avg"].astype("f8")}),
    "a step less": lambda h, t: h["steps"].pop("0"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_file_of_ours_with_something_wrong_in_it(saved, case):
    pair, path = saved
    rewritten(path, DAMAGE[case])
    refused_file(pair, path, "a damaged gpuopt file")


MISFIT = {
    "another optimizer": (lambda h, t: h.update(optimizer="SGD"), ("Adam", "'SGD'")),
    "a step below zero": (lambda h, t: h["steps"].update({"0": -1}), ("step", "-1")),
    "lr nan": (lambda h, t: h["param_groups"][0].update(lr=float("nan")), ("lr", "nan")),
    "shape": (lambda h, t: t.update({"0.exp_avg": t["0.exp_avg"].T.copy()}), ("(3, 5)", "(5, 3)")),
    "an option less": (lambda h, t: h["param_groups"][0].pop("eps"), ("options", "'eps'")),
}


@pytest.mark.parametrize("case", MISFIT)
def test_a_file_whose_states_do_not_fit(saved, case):
    change, words = MISFIT[case]
    pair, path = saved
    rewritten(path, change)
    with pair.refuses(ValueError, f"{path}: state_dict: ", *words):
        pair.optimizer.load(path)


def test_a_file_of_another_optimizer(saved):
    """The error says whose it is, and which file it is in."""
    _, path = saved
    pair = Pair(optimizer="SGD")
    words = f"{path}: state_dict: expected that of SGD, as gpuopt.SGD makes, got that of 'Adam'"
    with pair.refuses(ValueError, words):
        pair.optimizer.load(path)


def test_an_unchanged_file_that_was_rewritten_is_fine(saved):
    """So that it is the damage that the tests above see."""
    pair, path = saved
    rewritten(path, lambda header, tensors: None)
    pair.optimizer.load(path)
    pair.goes_on()


def test_paths_that_cannot_be_read(saved, tmp_path):
    pair, path = saved
    (tmp_path / "folder").mkdir()
    for wrong, error in (
        (tmp_path / "missing", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
        (path / "below", BELOW_A_FILE),
        (tmp_path / "missing" / "below", FileNotFoundError),
    ):
        refused_file(pair, wrong, error=error)
    for wrong in (None, 1.5, ["path"]):
        with pair.refuses(TypeError):
            pair.optimizer.load(wrong)
        with pair.refuses(TypeError):
            pair.optimizer.save(wrong)


def test_a_file_of_other_arrays(saved, backend):
    pair, path = saved
    for structure in ("dict", "groups"):
        other = Pair(structure)
        with other.refuses(ValueError, "state_dict: expected groups of the arrays"):
            other.optimizer.load(path)
    small = gpuopt.Adam(arrays(0)[:4])
    small.step(gradients(0)[:4])
    small.save(path)
    with pair.refuses(ValueError, "expected groups of the arrays [[0, 1, 2, 3, 4]]"):
        pair.optimizer.load(path)


def test_the_state_dict_that_was_refused_is_as_it_was(numpy_backend):
    pair = Pair()
    taken = good(pair)
    taken["state"][4]["step"] = -1
    before = pickle.dumps(taken)
    with pair.refuses(ValueError, "step"):
        pair.optimizer.load_state_dict(copy.copy(taken))
    assert pickle.dumps(taken) == before
