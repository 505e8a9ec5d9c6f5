"""Parameters that several processes share: DTensors, and plain tensors that others have more of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial, reduce
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..arrays import mark_written
from ..engine.sharding import ProcessGroups
from ..kernels.table import add_partials

_LOCAL = attrgetter("_local_tensor")
"""Of a DTensor its shard, without the node of autograd that ``to_local`` makes."""


def is_dtensor(value: Any) -> bool:
    """Whether it is a DTensor; nothing is imported to look."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, getattr(module, "DTensor", ()))


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this process has of a tensor: of a DTensor its shard."""
    return _local(tensor) if is_dtensor(tensor) else tensor


class Shards:
    """The shards of an optimizer's parameters.

    Attributes:
        places: of the parameters that are DTensors.
        locals: of each parameter the tensor that this process has of it.
        process_groups: for each parameter the processes that it is sharded over, or None; empty
            where no parameter is sharded.
        norm_groups: the processes that take part in the norm, even where this one has no parameter
            of theirs.
    """

    def __init__(
        self, params: Sequence[torch.Tensor], names: Sequence[str], norm_group: Any = None
    ) -> None:
        """Take the shards.

        Args:
            params: DTensors and plain tensors.
            names: what errors call each.
            norm_group: the processes that hold other plain tensors of the same model, if any:
                a process group, or ``"world"``.

        Raises:
            ValueError: a DTensor is a sum that is still to be made, or there is no world.
        """
        self._params, self._names = params, names
        self.places = [i for i, param in enumerate(params) if is_dtensor(param)]
        self.locals = list(map(local_of, params))
        for i in self.places:
            self._check_whole(i)
        self._specs = {i: self._spec(params[i]) for i in self.places}
        owners = () if norm_group is None else (_group(norm_group),)
        self.norm_groups = [Processes(owners, whole=True)] if owners else []
        groups = {i: _groups(params[i]) for i in self.places}
        known = {own: Processes(own) for own in set(groups.values()) if own}
        plain = self.norm_groups[0] if owners else None
        self.process_groups: list[ProcessGroups | None] = [
            known.get(groups[i]) if i in groups else plain for i in range(len(params))
        ]
        self._groups = tuple(dict.fromkeys((*owners, *chain(*groups.values()))))

    def check_known(self, what: str) -> None:
        """Raise if a parameter lies on other processes alone, so that its norm is known to those.

        Args:
            what: the option that asks.

        Raises:
            ValueError: one does.
        """
        for i in self.places:
            mesh: Any = self._specs[i].mesh
            if mesh.get_coordinate() is None:
                raise ValueError(
                    f"{what}: expected parameters that each process has a part of, got "
                    f"{self._names[i]} on {mesh}, without this process; give each mesh an "
                    "optimizer of its own"
                )

    def fit(self, params: Sequence[torch.Tensor]) -> bool:
        """Whether the same shards are still those of the parameters."""
        return all(_LOCAL(params[i]) is self.locals[i] for i in self.places)

    def of(self, grads: Sequence[Any]) -> Sequence[Any]:
        """Return the shards of the gradients, spread as their parameters are.

        Autograd may leave a gradient spread otherwise (as `Partial` sums, under SequenceParallel):
        that one is redistributed, which is a call of all processes.

        Raises:
            TypeError, ValueError: one is no DTensor, or lies on another mesh.
        """
        if not self.places:
            return grads
        shards = list(grads)
        for i, spec in self._specs.items():
            grad = grads[i]
            if grad is not None:
                if getattr(grad, "_spec", None) is not spec:
                    grad = self._like_its_parameter(i, grad)
                shard = grad._local_tensor
                shards[i] = shard if type(shard) is torch.Tensor else _local(grad)
        return shards

    def zero_others(self, grads: Sequence[Any], shards: Sequence[Any]) -> None:
        """Zero those gradients whose shards are copies, redistributed."""
        pairs = [(grads[i], shards[i]) for i in self.places if grads[i] is not None]
        copied = [grad for grad, shard in pairs if _LOCAL(grad) is not shard]
        for grad in copied:
            _local(grad).zero_()
        mark_written(copied)

    def any(self, flag: torch.Tensor) -> torch.Tensor:
        """Return the largest of a number of each process that has a part of the parameters."""
        if is_dtensor(flag):
            flag = flag.full_tensor()  # type: ignore[attr-defined]
        for group in self._groups:
            where = _served(group, flag.device)
            found = flag.to(where, copy=True)
            torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group)
            flag = found.to(flag.device)
        return flag

    def shard_of(self, i: int, array: torch.Tensor) -> torch.Tensor:
        """Return of a tensor in a parameter's shape what this process has of that parameter."""
        if i not in self._specs:
            return array.full_tensor() if is_dtensor(array) else array  # type: ignore[attr-defined]
        from torch.distributed.tensor import DTensor, Replicate

        mesh, placements = self._specs[i].mesh, self._specs[i].placements
        if not is_dtensor(array):  # every process has all of it
            everywhere = [Replicate()] * mesh.ndim
            array = array.to(self._params[i].device)
            array = DTensor.from_local(array, mesh, everywhere, run_check=False)
        if array.device_mesh == mesh and array.placements == placements:  # type: ignore[attr-defined]
            return _local(array)
        cut = _local(array.redistribute(mesh, placements))  # type: ignore[attr-defined]
        return cut.clone(memory_format=torch.contiguous_format)  # it may be a view of the whole

    def like(self, i: int, shard: torch.Tensor) -> torch.Tensor:
        """Return a shard as a DTensor that is spread as its parameter is."""
        if i not in self._specs:
            return shard
        from torch.distributed.tensor import DTensor

        spec, param = self._specs[i], self._params[i]
        made: torch.Tensor = DTensor.from_local(
            shard,
            spec.mesh,
            spec.placements,
            run_check=False,
            shape=param.shape,
            stride=param.stride(),
        )
        return made

    def number(self, i: int) -> tuple[int, ...]:
        """Return which shard of its parameter this process has; of a replica the same."""
        if i not in self._specs:
            return ()
        coordinate = self._specs[i].mesh.get_coordinate() or ()
        pairs = zip(coordinate, self._specs[i].placements)
        return tuple(at for at, placement in pairs if not placement.is_replicate())

    @staticmethod
    def _spec(tensor: torch.Tensor) -> Any:
        return tensor._spec  # type: ignore[attr-defined]

    def _check_whole(self, i: int) -> None:
        param: Any = self._params[i]
        if any(placement.is_partial() for placement in param.placements):
            raise ValueError(
                f"{self._names[i]}: expected shards or replicas, got a DTensor that is still to be "
                f"summed: {param.placements}"
            )

    def _like_its_parameter(self, i: int, grad: Any) -> Any:
        """Return a gradient as its parameter is spread, and know its spec."""
        spec, name = self._specs[i], f"gradient of {self._names[i]}"
        if not is_dtensor(grad):
            raise TypeError(f"{name}: expected a DTensor, as its parameter is, got a plain tensor")
        if grad.device_mesh != spec.mesh:
            raise ValueError(
                f"{name}: expected a DTensor on {spec.mesh}, as its parameter is, got one on "
                f"{grad.device_mesh}"
            )
        if grad.placements != spec.placements:
            return grad.detach().redistribute(spec.mesh, spec.placements)
        self._specs[i] = grad._spec
        return grad


class Processes:
    """Process groups; each process holds a part of what the groups hold together."""

    def __init__(self, groups: tuple[Any, ...], whole: bool = False) -> None:
        """Take the groups; sums go over one after the other.

        Args:
            groups: of processes.
            whole: see `sharding.ProcessGroups`.
        """
        self._groups, self.whole = groups, whole

    def combine(self, partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the combined partials of all processes, added up in the order of ranks."""
        for group in self._groups:
            own = torch.from_numpy(np.ascontiguousarray(partials)).reshape(1, -1)
            rows = own.new_empty((group.size(), own.numel()))
            _all_gather(group, rows, own)
            parts = rows.numpy().reshape(group.size(), *partials.shape)
            partials = reduce(add_partials, parts)
        return partials

    def gather(self, total: Any) -> None:
        """Let a total on a device be that of all processes."""
        for group in self._groups:
            total.gather(partial(_all_gather, group), group.size())


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return the shard of a DTensor; a collective that makes it is waited for."""
    shard: Any = _LOCAL(tensor)
    return shard.wait() if hasattr(type(shard), "wait") else shard  # type: ignore[no-any-return]


def _groups(param: Any) -> tuple[Any, ...]:
    """Return the groups of the dimensions of its mesh that a DTensor is spread over."""
    mesh = param.device_mesh
    if mesh.get_coordinate() is None:  # it has nothing of the tensor, and no group
        return ()
    spread = [k for k, placement in enumerate(param.placements) if not placement.is_replicate()]
    return tuple(mesh.get_group(k) for k in spread if mesh.size(k) > 1)


def _group(given: Any) -> Any:
    """Return a process group; ``"world"`` is the default one.

    Raises:
        ValueError: there is none yet.
    """
    if given != "world":
        return given
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ValueError("norm_group: got 'world', expected init_process_group to be called before")
    return torch.distributed.group.WORLD


def _all_gather(group: Any, rows: torch.Tensor, own: torch.Tensor) -> None:
    """Write into ``rows`` what each process of a group has; by way of where the group works."""
    distributed: Any = torch.distributed
    known = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
    where = _served(group, own.device)
    there = rows.to(where)  # itself, where it lies well
    known(there, own.to(where), group=group)
    if there is not rows:
        rows.copy_(there)


def _served(group: Any, device: torch.device) -> torch.device:
    """Return ``device``, or the first one that a group's backends can work on."""
    kinds = [kind.type for kind in group._device_types]
    if device.type in kinds:
        return device
    return torch.device(kinds[0], torch.cuda.current_device() if kinds[0] == "cuda" else None)
