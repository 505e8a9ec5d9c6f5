"""Looking at a state changes nothing of what it counts, and makes nothing that torch cannot use."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from tests.drop_in.pairs import CLASSES, OPTIONS, give_gradients, parameters  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")

MANY = 2**24
"""The largest count below which float32 has all."""


def counted(count, name="Adam"):
    """An optimizer of one parameter that has had so many steps."""
    param = torch.ones(3, requires_grad=True)
    optimizer = getattr(ours, name)([param], **OPTIONS.get(name, {}))
    param.grad = torch.full((3,), 0.5)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["step"] = torch.tensor(float(count))
    optimizer.load_state_dict(saved)
    return param, optimizer


LOOKS = {
    "nothing": lambda optimizer: None,
    "state": lambda optimizer: optimizer.state,
    "state_dict": lambda optimizer: optimizer.state_dict(),
    "its own, loaded": lambda optimizer: optimizer.load_state_dict(optimizer.state_dict()),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "another step": lambda optimizer: optimizer._forget_tensor_step(),
    "in inference mode": torch.inference_mode()(lambda optimizer: optimizer.state_dict()),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", [n for n in CLASSES if DEFINITIONS[n].counts_steps])
def test_looking_does_not_change_the_count(name, look):
    param, optimizer = counted(MANY - 2, name)
    for step in range(1, 11):
        optimizer.step()
        LOOKS[look](optimizer)
        exact = MANY - 2 + step
        assert optimizer.state[param]["step"].item() == torch.tensor(float(exact)).item()
    assert optimizer.state[param]["step"].item() == MANY + 8
    assert optimizer.state[param]["step"].dtype == torch.float32


@pytest.mark.parametrize("name", ["NAdam", "ASGD"])
def test_looking_does_not_hold_back_what_is_carried(name):
    """A count that is rounded up is not that of the next step."""
    (param, optimizer), (other, twin) = counted(MANY, name), counted(MANY, name)
    for _ in range(9):
        optimizer.step()
        optimizer.state_dict()
        twin.step()
    for key, value in optimizer.state[param].items():
        assert torch.equal(value, twin.state[other][key]), key
    assert torch.equal(param, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_go_on_counting(copied):
    _, optimizer = counted(MANY)
    optimizer.step()
    twice = copied(copied(optimizer))
    (param,) = twice.param_groups[0]["params"]
    param.grad = torch.full((3,), 0.5)
    for _ in range(3):
        twice.step()
        twice.state_dict()
    assert twice.state[param]["step"].item() == MANY + 4


def test_another_group_does_not_lose_the_count():
    param, optimizer = counted(MANY)
    optimizer.step()
    optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)]})
    optimizer.step()
    assert optimizer.state[param]["step"].item() == MANY + 2


EDITS = {
    "in place": lambda held: held["step"].fill_(float(MANY)),
    "by NumPy": lambda held: held["step"].numpy().fill(MANY - 6.0),
    "another tensor": lambda held: held.update(step=torch.tensor(float(MANY))),
    "a number": lambda held: held.update(step=MANY),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_counts(edit):
    param, optimizer = counted(MANY)
    optimizer.step()
    assert optimizer.state[param]["step"].item() == MANY  # rounded from MANY + 1
    EDITS[edit](optimizer.state[param])
    for _ in range(2):
        optimizer.step()
    assert optimizer.state[param]["step"].item() == (MANY - 4 if edit == "by NumPy" else MANY + 2)


def test_a_count_given_as_an_integer_is_exact():
    param, optimizer = counted(1)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["step"] = MANY + 1
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert optimizer.state[param]["step"].item() == MANY + 2


# --- inference mode -------------------------------------------------------------------------------


def inference_tensors(states):
    return [
        name
        for held in states.values()
        for name, value in held.items()
        if isinstance(value, torch.Tensor) and value.is_inference()
    ]


KINDS = {
    "float32": (torch.float32, {"ema_decay": 0.5}),
    "complex64": (torch.complex64, {"ema_decay": 0.5}),
    "bfloat16": (torch.bfloat16, {"ema_decay": 0.5, "master_weights": True}),
}

INSIDE = {
    "the first step": lambda o: o.step(),
    "a look": lambda o: o.state,
    "a state dict": lambda o: o.state_dict(),
    "a load": lambda o: o.load_state_dict(copy.deepcopy(o.state_dict())),
    "the averages": lambda o: o.ema,
    "an exchange": lambda o: exchange(o),
}


def exchange(optimizer):
    with optimizer.ema_weights():
        pass


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLASSES)
def test_torch_goes_on_with_what_was_made_in_inference_mode(name, kind, inside):
    dtype, tail = KINDS[kind]
    params = parameters(dtype)
    optimizer = getattr(ours, name)(params, **{**OPTIONS.get(name, {}), **tail})
    give_gradients(params, 0)
    if inside != "the first step":
        optimizer.step()
    with torch.inference_mode():
        INSIDE[inside](optimizer)
    saved = optimizer.state_dict()
    assert inference_tensors(optimizer.state) == inference_tensors(saved["state"]) == []
    assert not any(average.is_inference() for average in optimizer.ema.values())
    assert not any(p.is_inference() for p in params)
    optimizer.step()
    if hasattr(torch.optim, name):
        theirs = getattr(torch.optim, name)(params, **OPTIONS.get(name, {}))
        theirs.load_state_dict(saved)
        theirs.step()
    sum((p * p.conj()).real.sum() for p in params).backward()


def test_adagrad_made_in_inference_mode():
    params = parameters(torch.float32)
    with torch.inference_mode():
        optimizer = ours.Adagrad(params)
    assert inference_tensors(optimizer.state) == []


def test_numbers_that_torch_makes_of_old_ones_in_inference_mode():
    params = parameters(torch.float32)
    optimizer = ours.NAdam(params)
    give_gradients(params, 0)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    for held in saved["state"].values():
        held.update(step=1, mu_product=held["mu_product"].item())
    with torch.inference_mode():
        optimizer.load_state_dict(saved)
    assert inference_tensors(optimizer.state) == []


@pytest.mark.parametrize("tail", [{"ema_decay": 0.5}, {"master_weights": True}])
def test_states_of_the_array_api_in_inference_mode(tail):
    tensors = [p.detach() for p in parameters(torch.bfloat16)]
    optimizer = gpuopt.Adam(tensors, **tail)
    with torch.inference_mode():
        optimizer.step([t.clone() for t in tensors])
        saved = optimizer.state_dict()
    assert inference_tensors(saved["state"]) == inference_tensors(optimizer.state) == []
