"""A group's own ``state_dtype``, in both APIs: it counts in place of the optimizer's."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from tests.helpers.exact import assert_same_bits  # noqa: E402

SIZE = 4096 + 7
OWN = ("8bit", "float32", None, "bfloat16", "softsign8")
STORED = {"8bit": "int8", "softsign8": "int8", None: "float32"}
WHOLE = pytest.mark.parametrize("whole", [None, "8bit", "float16"])


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def drawn(seed, count):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(SIZE).astype(np.float32) for _ in range(count)]


def arrays(*own, **options):
    """An optimizer with a group for each ``state_dtype``, and one without."""
    given = drawn(0, 1 + len(own))
    groups = [{"params": [given[0]]}]
    groups += [{"params": [p], "state_dtype": dtype} for p, dtype in zip(given[1:], own)]
    return gpuopt.Adam(groups, lr=0.01, **options)


def tensors(*own, **options):
    given = [torch.from_numpy(p).requires_grad_() for p in drawn(0, 1 + len(own))]
    groups = [{"params": [given[0]]}]
    groups += [{"params": [p], "state_dtype": dtype} for p, dtype in zip(given[1:], own)]
    return ours.Adam(groups, lr=0.01, **options)


def step(opt, seed):
    count = len(opt.param_groups)
    if isinstance(opt, torch.optim.Optimizer):
        for grad, group in zip(drawn(seed, count), opt.param_groups):
            group["params"][0].grad = torch.from_numpy(grad)
        opt.step()
    else:
        opt.step([[grad] for grad in drawn(seed, count)])


def held(opt):
    """What the step has, whatever the API shows of it: the dtype of each group's state."""
    states = (opt._fused if isinstance(opt, gpuopt.Adam) else opt._tensor_step.step).states
    return [str(own["exp_avg"].dtype).removeprefix("torch.") for own in states]


def expected(*wanted):
    return [STORED.get(dtype, dtype) for dtype in wanted]


KINDS = pytest.mark.parametrize("new", [arrays, tensors])


@KINDS
@WHOLE
def test_each_group_has_its_own(new, whole):
    if new is arrays and whole == "float16":
        pytest.skip("NumPy has no bfloat16")
    own = [dtype for dtype in OWN if new is tensors or dtype != "bfloat16"]
    opt = new(*own, state_dtype=whole)
    for i in range(3):
        step(opt, i)
        assert held(opt) == expected(whole, *own)
    assert opt.state_dtype == whole
    assert "state_dtype" not in opt.param_groups[0]
    assert [group["state_dtype"] for group in opt.param_groups[1:]] == own


@KINDS
def test_the_bits_are_those_of_an_optimizer_of_that_dtype(new):
    mixed, alone = new("8bit"), new("float32", state_dtype="8bit")
    for i in range(3):
        step(mixed, i)
        step(alone, i)
    assert held(mixed) == held(alone)[::-1] == ["float32", "int8"]
    whole = new(None, state_dtype=None)
    other = new("8bit", state_dtype="8bit")
    for i in range(3):
        step(whole, i)
        step(other, i)
    value = [mixed.param_groups, mixed, alone, whole, other]
    params = [one.state_dict() for one in value[1:]]
    assert_same_bits(_exp_avg(params[0], 0), _exp_avg(params[2], 0), "in float32")
    assert_same_bits(_exp_avg(params[0], 1), _exp_avg(params[3], 1), "in 8 bits")
    assert_same_bits(_exp_avg(params[1], 0), _exp_avg(params[3], 0), "in 8 bits, the first")


def _exp_avg(saved, i):
    return np.asarray(saved["state"][i]["exp_avg"])


@KINDS
@pytest.mark.parametrize("wrong", ["8bits", "int8", 8, ["8bit"], "float31"])
def test_a_wrong_one_is_refused(new, wrong):
    said = r"^param(s|_groups)\[1\]: state_dtype: expected None or one of .*8bit.*, got "
    with pytest.raises(ValueError, match=said):
        new(wrong)
    opt = new("8bit")
    step(opt, 0)
    saved = copy.deepcopy(opt.state_dict())
    with pytest.raises(ValueError, match="state_dtype: expected None or one of"):
        opt.param_groups[1]["state_dtype"] = wrong
        opt.step()
    opt.param_groups[1]["state_dtype"] = "8bit"
    step(opt, 1)
    saved["param_groups"][1]["state_dtype"] = wrong
    before = copy.deepcopy(opt.state_dict())
    with pytest.raises(ValueError, match=r"^state_dict: .*state_dtype: expected None or one of"):
        opt.load_state_dict(saved)
    assert str(opt.state_dict()) == str(before)


@KINDS
def test_a_changed_one_counts_from_the_next_step_on(new):
    opt = new("8bit")
    step(opt, 0)
    assert held(opt) == ["float32", "int8"]
    opt.param_groups[1]["state_dtype"] = "float32"
    opt.param_groups[0]["state_dtype"] = "8bit"  # it had none
    step(opt, 1)
    assert held(opt) == ["int8", "float32"]
    del opt.param_groups[0]["state_dtype"]
    step(opt, 2)
    assert held(opt) == ["float32", "float32"]


def test_other_options_are_not_deleted():
    opt = arrays("8bit")
    with pytest.raises(TypeError, match="cannot be deleted"):
        del opt.param_groups[1]["lr"]


@KINDS
def test_a_state_dict_has_it_and_brings_it(new):
    opt = new("8bit")
    step(opt, 0)
    other = new("float32")
    other.load_state_dict(opt.state_dict())
    assert [group.get("state_dtype") for group in other.param_groups] == [None, "8bit"]
    bare = copy.deepcopy(opt.state_dict())
    del bare["param_groups"][1]["state_dtype"]  # as torch.optim's have
    kept = new("float32")
    kept.load_state_dict(bare)
    assert kept.param_groups[1]["state_dtype"] == "float32"
    for one in (opt, other, kept):
        step(one, 1)
    assert held(opt) == held(other) == ["float32", "int8"]
    assert held(kept) == ["float32", "float32"]
    for i in range(2):
        assert_same_bits(_exp_avg(other.state_dict(), i), _exp_avg(opt.state_dict(), i), "")


def test_a_file_has_it(tmp_path):
    pytest.importorskip("safetensors")
    opt = arrays("8bit")
    step(opt, 0)
    opt.save(tmp_path / "saved")
    other = arrays("float32")
    other.load(tmp_path / "saved")
    assert other.param_groups[1]["state_dtype"] == "8bit"


@KINDS
def test_it_is_shown(new):
    assert "8bit" in repr(new("8bit"))
    assert "state_dtype" not in repr(new())


def test_copies_have_it():
    opt = tensors("8bit")
    step(opt, 0)
    for twin in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        step(twin, 1)
        assert held(twin) == ["float32", "int8"]


def test_an_added_group():
    opt = tensors()
    param = torch.ones(SIZE, requires_grad=True)
    with pytest.raises(ValueError, match=r"^param_groups\[1\]: state_dtype: expected None or"):
        opt.add_param_group({"params": [param], "state_dtype": "8bits"})
    assert len(opt.param_groups) == 1
    opt.add_param_group({"params": [param], "state_dtype": "8bit"})
    step(opt, 0)
    assert held(opt) == ["float32", "int8"]


def test_a_misspelt_one_is_warned_of():
    with pytest.warns(UserWarning, match="is 'state_dtype' meant"):
        ours.Adam([{"params": [torch.ones(2)], "state_dtyp": "8bit"}])
    with pytest.raises(TypeError, match="did you mean state_dtype"):
        gpuopt.Adam([{"params": [np.ones(2, np.float32)], "state_dtyp": "8bit"}])


def test_complex_parameters_have_none_in_bfloat16():
    param = torch.ones(SIZE, dtype=torch.complex64, requires_grad=True)
    said = "state_dtype: expected another than 'bfloat16' for complex parameters"
    with pytest.raises(ValueError, match=said):
        ours.Adam([{"params": [param], "state_dtype": "bfloat16"}])
    opt = ours.Adam([{"params": [param], "state_dtype": "8bit"}], state_dtype="bfloat16")
    param.grad = torch.ones_like(param)
    opt.step()
    assert held(opt) == ["int8"]
    opt.param_groups[0]["state_dtype"] = "bfloat16"
    with pytest.raises(ValueError, match=said):
        opt.step()
