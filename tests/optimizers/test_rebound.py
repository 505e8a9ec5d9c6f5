"""Arrays that the caller rebinds in the container that was given: found before anything changes."""

import collections
import types
from collections.abc import Mapping

import numpy as np
import pytest

import gpuopt
from tests.helpers.optimizers import Foreign, everything

pytestmark = pytest.mark.usefixtures("numpy_backend")

SAID = "no longer the array that the optimizer was given"


def new(count=3, size=4):
    return [np.full(size, i + 1, np.float32) for i in range(count)]


def named():
    return dict(zip("abc", new()))


def in_a_dict():
    params = named()
    return params, params, "b", "params['b']"


def in_a_list():
    params = new()
    return params, params, 1, "params[1]"


def in_a_deque():
    params = collections.deque(new())
    return params, params, 2, "params[2]"


def behind_a_proxy():
    params = named()
    return types.MappingProxyType(params), params, "c", "params['c']"


def in_a_list_of_a_group():
    inner = new()
    return [{"params": new()}, {"params": inner}], inner, 0, "params[1]['params'][0]"


def in_a_dict_of_a_group():
    inner = named()
    return [{"params": inner, "lr": 0.5}], inner, "a", "params[0]['params']['a']"


def in_a_tuple_of_groups():
    inner = named()
    return ({"params": (*new(1),)}, {"params": inner}), inner, "a", "params[1]['params']['a']"


PLACES = [
    in_a_dict,
    in_a_list,
    in_a_deque,
    behind_a_proxy,
    in_a_list_of_a_group,
    in_a_dict_of_a_group,
    in_a_tuple_of_groups,
]


class Watched:
    """An optimizer, its arrays and their gradients."""

    def __init__(self, params):
        self.optimizer = gpuopt.Adam(params, lr=0.5)
        self.arrays = self.optimizer._fused.params
        ones = [np.ones(np.shape(a), np.float32) for a in self.arrays]
        self.grads = self.optimizer._structure.unflatten(ones)
        self.step()

    def step(self):
        before = [a.copy() for a in self.arrays]
        self.optimizer.step(self.grads)
        for array, old in zip(self.arrays, before):
            assert (array != old).all()

    def refuses(self, name):
        before = everything(self.optimizer, self.arrays)
        for _ in range(2):  # the second step says so, too
            with pytest.raises(ValueError) as refused:
                self.optimizer.step(self.grads)
            assert str(refused.value).startswith(f"{name}: {SAID}")
        assert everything(self.optimizer, self.arrays) == before


@pytest.mark.parametrize("place", PLACES)
def test_a_member_that_is_another_array(place):
    params, container, key, name = place()
    watched = Watched(params)
    original = container[key]
    for other in (original * np.float32(0.99), original.copy(), original.tolist(), None, 0.5):
        container[key] = other
        watched.refuses(name)
    container[key] = original
    watched.step()
    container[key] *= np.float32(0.99)  # in place: the same array
    watched.step()


@pytest.mark.parametrize("size", [(), 1, 0])
def test_arrays_that_equal_what_takes_their_place(size):
    """``==`` of two arrays of one element is a plain True."""
    for params in (new(1, size), new(3, size), {"a": new(1, size)[0]}):
        key = "a" if isinstance(params, dict) else 0
        optimizer = gpuopt.SGD(params, lr=0.5)
        params[key] = params[key].copy()
        with pytest.raises(ValueError, match=SAID):
            optimizer.step(params)


def test_two_that_changed_places():
    params = named()
    watched = Watched(params)
    params["a"], params["b"] = params["b"], params["a"]
    watched.refuses("params['a']")
    a_list = new()
    watched = Watched(a_list)
    a_list.reverse()
    watched.refuses("params[0]")


def test_a_group_that_is_given_other_arrays():
    groups = [{"params": new(2)}, {"params": (*new(2),)}]
    watched = Watched(groups)
    kept = groups[1]["params"]
    groups[1]["params"] = list(kept)  # another list of the same arrays
    watched.step()
    groups[1]["params"] = [kept[0], kept[1] * 2]
    watched.refuses("params[1]['params'][1]")
    groups[1]["params"] = kept
    watched.step()
    groups[0] = {"params": new(2)}
    watched.refuses("params[0]['params'][0]")


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(d=np.ones(4, np.float32)),
        lambda p: p.pop("b"),
        lambda p: p.clear(),
        lambda p: p.update(a=p.pop("a")),  # the last one now
    ],
)
def test_members_that_come_and_go(change):
    params = named()
    watched = Watched(params)
    change(params)
    watched.step()
    if "c" in params:
        params["c"] = params["c"] + 1
        watched.refuses("params['c']")


def test_a_list_that_grows_and_shrinks():
    params = new()
    watched = Watched(params)
    params.append("anything")
    watched.step()
    del params[1:]
    watched.step()
    params[0] = params[0] + 1
    watched.refuses("params[0]")


def test_a_group_that_lost_its_members():
    groups = [{"params": new()}]
    watched = Watched(groups)
    del groups[0]["params"]
    watched.step()
    groups.clear()
    watched.step()


def test_another_object_over_the_same_memory():
    """What the optimizer writes is seen through it."""
    params = named()
    watched = Watched(params)
    params["a"] = params["a"][:]
    watched.step()
    watched.step()
    params["a"] = params["a"][::-1]
    watched.refuses("params['a']")


def test_what_cannot_be_rebound():
    arrays = new()
    for params in ((*arrays,), iter(arrays), (a for a in arrays), [{"params": iter(arrays)}]):
        watched = Watched(params)
        watched.step()


class Fresh(Mapping):
    """A container that makes a new object whenever somebody looks into it."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __getitem__(self, key):
        return self.arrays[key][:]

    def __iter__(self):
        return iter(self.arrays)

    def __len__(self):
        return len(self.arrays)


def test_containers_that_make_new_objects():
    params = named()
    watched = Watched(Fresh(params))
    before = params["a"].copy()
    watched.step()
    assert (params["a"] != before).all()


def test_containers_that_make_new_objects_later():
    class Cached(Fresh):
        fresh = False

        def __getitem__(self, key):
            return super().__getitem__(key) if self.fresh else self.arrays[key]

    params = Cached(named())
    watched = Watched(params)
    params.fresh = True
    watched.step()
    params.arrays["b"] = params.arrays["b"] + 1
    watched.refuses("params['b']")


def test_arrays_of_other_libraries():
    torch = pytest.importorskip("torch")
    for one in (lambda: torch.ones(3), lambda: Foreign(np.ones(3, np.float32))):
        params = {"a": one(), "b": one()}
        optimizer = gpuopt.SGD(params, lr=0.5)
        optimizer.step({"a": np.ones(3, np.float32), "b": None})
        params["b"] = one()
        with pytest.raises(ValueError, match=rf"^params\['b'\]: {SAID}"):
            optimizer.step({"a": None, "b": None})
    tensor = torch.nn.Parameter(torch.ones(3))
    params = [tensor]
    optimizer = gpuopt.SGD(params, lr=0.5)
    params[0] = tensor.detach()
    optimizer.step([torch.ones(3)])
    assert tensor.tolist() == [0.5] * 3
    params[0] = tensor * 2
    with pytest.raises(ValueError, match=SAID):
        optimizer.step([torch.ones(3)])


def test_with_averages_in_place_of_the_weights():
    torch = pytest.importorskip("torch")
    params = {"a": torch.ones(3), "b": torch.ones(3)}
    optimizer = gpuopt.SGD(params, lr=0.5, ema_decay=0.5)
    grads = {"a": torch.ones(3), "b": torch.ones(3)}
    optimizer.step(grads)
    with optimizer.ema_weights():
        assert params["a"].tolist() == [0.75] * 3
    optimizer.step(grads)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(grads)
    assert params["b"].tolist() == [-0.5] * 3
