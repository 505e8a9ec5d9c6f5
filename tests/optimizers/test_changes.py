"""Arrays that moved, or became others, between two steps."""

import numpy as np
import pytest

import gpuopt
from gpuopt.arrays import changes

torch = pytest.importorskip("torch")


@pytest.fixture(params=["guards", "columns"], autouse=True)
def way(request, monkeypatch):
    """torch's own check of many tensors, and what stands in for it where torch has none."""
    if request.param == "columns":
        monkeypatch.setattr(changes, "_guards", lambda tensors: None)
    elif changes._guards([torch.zeros(1)]) is None:
        pytest.skip("this torch has no TensorGuards")


def seen(tensors):
    return changes.detect_changes(tensors)[0]


CHANGES = {
    "fewer elements": lambda t: t[:2],
    "transposed": lambda t: t.t(),
    "another shape": lambda t: t.view(2, 8),
    "another dtype of the same width": lambda t: t.view(torch.int32),
    "strided": lambda t: t.as_strided((4, 4), (1, 1)),
    "negated": lambda t: torch._neg_view(t),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_layout_at_the_same_address(change):
    tensors = [torch.zeros(4, 4) for _ in range(3)]
    before = seen(tensors)
    tensors[1].data = change(tensors[1].data)
    snapshot, moves = changes.detect_changes(tensors, before)
    assert (list(moves.changed), list(moves.moved)) == ([1], [])
    assert changes.detect_changes(tensors, snapshot)[1] == changes.Moves()


def test_the_same_layout_at_another_address():
    tensors = [torch.zeros(4, 4) for _ in range(3)]
    before = seen(tensors)
    held = tensors[2]
    tensors[2] = torch.zeros(4, 4)
    _, moves = changes.detect_changes(tensors, before)
    assert (list(moves.changed), list(moves.moved)) == ([], [2])
    assert list(moves.addresses) == [tensors[2].data_ptr()] != [held.data_ptr()]


def test_one_that_moved_beside_one_that_changed():
    tensors = [torch.zeros(4, 4) for _ in range(3)]
    before, held = seen(tensors), tensors[0]
    tensors[0], tensors[2].data = torch.zeros(4, 4), tensors[2].data[1:]
    _, moves = changes.detect_changes(tensors, before)
    assert (list(moves.changed), list(moves.moved)) == ([2], [0])
    assert list(moves.addresses) == [tensors[0].data_ptr()] != [held.data_ptr()]


def test_tensors_that_come_and_go():
    tensors = [torch.zeros(4), None, torch.zeros(4)]
    before = seen(tensors)
    assert changes.detect_changes(tensors, before)[1] == changes.Moves()
    now = [tensors[0], torch.zeros(4), None]
    snapshot, moves = changes.detect_changes(now, before)
    assert (list(moves.changed), list(moves.moved)) == ([1, 2], [])
    _, moves = changes.detect_changes([None] * 3, snapshot)
    assert list(moves.changed) == [0, 1]


def test_a_moved_tensor_beside_one_that_rests():
    tensors = [None, torch.zeros(4), torch.zeros(4)]
    before, held = seen(tensors), tensors[2]
    tensors[2] = torch.zeros(4)
    moves = changes.detect_changes(tensors, before)[1]
    assert (list(moves.changed), list(moves.moved)) == ([], [2])
    assert list(moves.addresses) == [tensors[2].data_ptr()] != [held.data_ptr()]


def test_the_same_tensors_in_another_autograd_mode():
    tensors = [torch.zeros(4, requires_grad=True)]
    before = seen(tensors)
    with torch.no_grad():
        assert changes.detect_changes(tensors, before)[1] == changes.Moves()


def test_an_array_of_another_library_in_place_of_a_tensor():
    before = seen([torch.zeros(4), torch.zeros(4)])
    snapshot, moves = changes.detect_changes([torch.zeros(4), np.zeros(4, np.float32)], before)
    assert list(moves.changed) == [0, 1]
    _, moves = changes.detect_changes([torch.zeros(4), torch.zeros(4)], snapshot)
    assert list(moves.changed) == [0, 1]


def adam(value=1.0):
    params = [torch.full((3,), value), torch.full((5,), value)]
    return params, gpuopt.Adam(params, lr=0.5)


GRADS = [torch.ones(3), torch.ones(5)]


def test_a_state_that_was_moved_goes_on_where_it_is_now():
    params, optimizer = adam()
    others, twin = adam()
    for _ in range(2):
        optimizer.step(GRADS)
        twin.step(GRADS)
    state = optimizer.state[0]["exp_avg"]
    old, state.data = state.data, state.data.clone()
    kept = old.clone()
    for _ in range(2):
        optimizer.step(GRADS)
        twin.step(GRADS)
    assert old.equal(kept)
    assert params[0].equal(others[0])
    assert state.equal(twin.state[0]["exp_avg"])


def test_a_state_that_became_another_dtype_is_used_as_it_is_now():
    params, optimizer = adam()
    optimizer.step(GRADS)
    state = optimizer.state[1]["exp_avg_sq"]
    state.data = state.data.to(torch.bfloat16)
    optimizer.step(GRADS)
    assert optimizer.state[1]["exp_avg_sq"].dtype == torch.bfloat16
    assert params[1].isfinite().all()


@pytest.mark.parametrize(
    "change", [lambda s: s[:2], lambda s: s.to(torch.int32), lambda s: s[:1].expand(3)]
)
def test_a_state_that_no_longer_fits_is_named_and_nothing_changes(change):
    params, optimizer = adam()
    optimizer.step(GRADS)
    state = optimizer.state[0]["exp_avg"]
    held, before = state.data, [p.clone() for p in params]
    state.data = change(held)
    with pytest.raises((TypeError, ValueError), match=r"^state 'exp_avg' of params\[0\]: "):
        optimizer.step(GRADS)
    assert all(map(torch.equal, params, before))
    state.data = held
    optimizer.step(GRADS)


def test_two_states_moved_to_one_place():
    _, optimizer = adam()
    optimizer.step(GRADS)
    first = optimizer.state[0]
    first["exp_avg"].data = first["exp_avg_sq"].data
    with pytest.raises(ValueError, match=r"state 'exp_avg' of .* state 'exp_avg_sq' of .* same"):
        optimizer.step(GRADS)


def test_gradients_that_move_at_every_step_follow_their_addresses():
    params, optimizer = adam()
    others, twin = adam()
    kept = []
    for k in range(4):
        grads = [torch.full((3,), float(k)), torch.full((5,), -float(k))]
        kept.append(grads)  # so that no address comes twice
        optimizer.step(grads)
        for mine, grad in zip(GRADS, grads):
            mine.copy_(grad)
        twin.step(GRADS)
    assert all(map(torch.equal, params, others))
    for mine in GRADS:
        mine.fill_(1.0)


def test_another_array_in_place_of_one_that_was_freed():
    """It may be the same object for `id`, which Python gives to the next of that size."""
    one, other = np.zeros((2, 3))
    snapshot = changes.detect_changes([one])[0]
    kept, freed = [], id(one)
    del one
    while not kept or id(kept[-1]) != freed:
        kept.append(other.view())
        assert len(kept) < 10_000
    assert list(changes.detect_changes(kept[-1:], snapshot)[1].changed) == [0]


def test_a_gradient_that_moved_onto_a_parameter():
    params, optimizer = adam()
    optimizer.step(GRADS)
    with pytest.raises(ValueError, match=r"gradient of params\[0\]: overlaps params\[1\]"):
        optimizer.step([params[1][:3], GRADS[1]])
    with pytest.raises(ValueError, match=r"gradient of params\[1\]: overlaps params\[1\]"):
        optimizer.step([GRADS[0], params[1]])
    optimizer.step(GRADS)


@pytest.mark.parametrize("between", ["state", "state_dict", "load"])
def test_a_parameter_that_moved_before_its_states_were_looked_at(between):
    params, optimizer = adam()
    others, twin = adam()
    for each in (optimizer, twin):
        each.step(GRADS)
    old = params[1].data
    params[1].data = params[1].data.clone()
    kept = old.clone()
    if between == "state":
        assert len(optimizer.state) == 2
    else:
        saved = optimizer.state_dict()
        if between == "load":
            optimizer.load_state_dict(saved)
    for each in (optimizer, twin):
        each.step(GRADS)
    assert old.equal(kept)
    assert all(map(torch.equal, params, others))


def test_a_parameter_that_changed_its_shape_before_a_load_is_refused():
    params, optimizer = adam()
    optimizer.step(GRADS)
    saved = optimizer.state_dict()
    held = params[1].data
    params[1].data = held[:2]
    with pytest.raises(ValueError, match=r"params\[1\].*shape"):
        optimizer.load_state_dict(saved)
        optimizer.step(GRADS)
    params[1].data = held
    optimizer.load_state_dict(saved)
    optimizer.step(GRADS)
