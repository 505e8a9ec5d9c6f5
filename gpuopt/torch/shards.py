"""DTensors: the shard of each parameter, gradient and state that this process has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import torch

from ..arrays import mark_written
from ..engine.sharding import ProcessGroups
from .process_groups import TorchProcessGroups, all_reduce_max, resolve_group

_LOCAL_TENSOR = attrgetter("_local_tensor")
"""The shard of a DTensor, without the autograd node that ``to_local`` makes."""


def is_dtensor(value: Any) -> bool:
    """Whether a value is a DTensor; imports nothing."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, getattr(module, "DTensor", ()))


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the shard of a DTensor, and a plain tensor as it is."""
    return _shard(tensor) if is_dtensor(tensor) else tensor


class Shards:
    """The shards of an optimizer's parameters.

    Attributes:
        indices: of the parameters that are DTensors.
        locals: for each parameter, the local tensor: the shard of a DTensor, or the parameter.
        process_groups: for each parameter, the processes that it is sharded over, or that
            ``norm_group`` names for plain parameters; None, if there are none.
        norm_groups: the processes that take part in the norm, even where this one has no parameter
            that is sharded over them.
    """

    def __init__(
        self, params: Sequence[torch.Tensor], names: Sequence[str], norm_group: Any = None
    ) -> None:
        """Find the shards and their process groups.

        Args:
            params: DTensors and plain tensors.
            names: of the parameters, for error messages.
            norm_group: the processes that have different plain parameters of the same model: a
                process group, ``"world"``, or None.

        Raises:
            ValueError: a DTensor has a Partial placement, or the default process group that
                ``norm_group`` asks for is not initialized.
        """
        self._params, self._names = params, names
        self.indices = [i for i, param in enumerate(params) if is_dtensor(param)]
        self.locals = list(map(local_of, params))
        for i in self.indices:
            self._check_not_partial(i)
        self._specs = {i: _spec(params[i]) for i in self.indices}
        owners = () if norm_group is None else (resolve_group(norm_group),)
        self.norm_groups = [TorchProcessGroups(owners, whole=True)] if owners else []
        groups = {i: _sharded_over(params[i]) for i in self.indices}
        known = {own: TorchProcessGroups(own) for own in set(groups.values()) if own}
        plain = self.norm_groups[0] if owners else None
        self.process_groups: list[ProcessGroups | None] = [
            known.get(groups[i]) if i in groups else plain for i in range(len(params))
        ]
        self._groups = tuple(dict.fromkeys((*owners, *chain(*groups.values()))))

    def check_on_mesh(self, option: str) -> None:
        """Check that this process is part of each DTensor's mesh, as norms and statistics need.

        Args:
            option: the option that needs it.

        Raises:
            ValueError: it is not; only the processes of that mesh would know the norm.
        """
        for i in self.indices:
            mesh: Any = self._specs[i].mesh
            if mesh.get_coordinate() is None:
                raise ValueError(
                    f"{option}: expected parameters that each process has a part of, got "
                    f"{self._names[i]} on {mesh}, without this process; give each mesh an "
                    "optimizer of its own"
                )

    def fits(self, params: Sequence[torch.Tensor]) -> bool:
        """Whether the parameters still have the same shards."""
        return all(_LOCAL_TENSOR(params[i]) is self.locals[i] for i in self.indices)

    def of(self, grads: Sequence[Any]) -> Sequence[Any]:
        """Return the shards of the gradients, with the placements of their parameters.

        Autograd may give a gradient other placements (Partial under SequenceParallel): it is
        then redistributed, which is a collective of all processes.

        Raises:
            TypeError: a parameter is a DTensor and its gradient is not.
            ValueError: a gradient is on another mesh than its parameter.
        """
        if not self.indices:
            return grads
        shards = list(grads)
        for i, spec in self._specs.items():
            grad = grads[i]
            if grad is not None:
                if getattr(grad, "_spec", None) is not spec:
                    grad = self._placed_as_parameter(i, grad)
                shard = grad._local_tensor
                shards[i] = shard if type(shard) is torch.Tensor else _shard(grad)
        return shards

    def zero_redistributed(self, grads: Sequence[Any], shards: Sequence[Any]) -> None:
        """Zero the gradients whose shards are copies: the step has only zeroed the copies."""
        pairs = [(grads[i], shards[i]) for i in self.indices if grads[i] is not None]
        redistributed = [grad for grad, shard in pairs if _LOCAL_TENSOR(grad) is not shard]
        for grad in redistributed:
            _shard(grad).zero_()
        mark_written(redistributed)

    def any(self, flag: torch.Tensor) -> torch.Tensor:
        """Return the maximum of a flag over all processes that share the parameters."""
        if is_dtensor(flag):
            flag = flag.full_tensor()  # type: ignore[attr-defined]
        return all_reduce_max(flag, self._groups)

    def shard_of(self, i: int, array: torch.Tensor) -> torch.Tensor:
        """Return the part of an array that belongs to this process's shard of a parameter.

        Args:
            i: the index of the parameter.
            array: a plain tensor of the whole parameter's shape, or a DTensor with any placements.
        """
        if i not in self._specs:
            return array.full_tensor() if is_dtensor(array) else array  # type: ignore[attr-defined]
        from torch.distributed.tensor import DTensor, Replicate

        mesh, placements = self._specs[i].mesh, self._specs[i].placements
        if not is_dtensor(array):  # every process has all of it
            replicated = [Replicate()] * mesh.ndim
            array = array.to(self._params[i].device)
            array = DTensor.from_local(array, mesh, replicated, run_check=False)
        if array.device_mesh == mesh and array.placements == placements:  # type: ignore[attr-defined]
            return _shard(array)
        cut = _shard(array.redistribute(mesh, placements))  # type: ignore[attr-defined]
        return cut.clone(memory_format=torch.contiguous_format)  # it may be a view

    def to_dtensor(self, i: int, shard: torch.Tensor) -> torch.Tensor:
        """Return a shard as a DTensor with a parameter's placements; unchanged for a plain one."""
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

    def coordinate(self, i: int) -> tuple[int, ...]:
        """Return the mesh coordinate of a parameter's shard; replicas have the same one."""
        if i not in self._specs:
            return ()
        coordinate = self._specs[i].mesh.get_coordinate() or ()
        pairs = zip(coordinate, self._specs[i].placements)
        return tuple(at for at, placement in pairs if not placement.is_replicate())

    def _check_not_partial(self, i: int) -> None:
        param: Any = self._params[i]
        if any(placement.is_partial() for placement in param.placements):
            raise ValueError(
                f"{self._names[i]}: expected a DTensor with Shard and Replicate placements, got "
                f"{param.placements}"
            )

    def _placed_as_parameter(self, i: int, grad: Any) -> Any:
        """Return a gradient with its parameter's placements; remember its spec if it has them."""
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


def _spec(tensor: torch.Tensor) -> Any:
    return tensor._spec  # type: ignore[attr-defined]


def _shard(tensor: torch.Tensor) -> torch.Tensor:
    """Return the shard of a DTensor, after waiting for a collective that computes it."""
    shard: Any = _LOCAL_TENSOR(tensor)
    return shard.wait() if hasattr(type(shard), "wait") else shard  # type: ignore[no-any-return]


def _sharded_over(param: Any) -> tuple[Any, ...]:
    """Return the process groups of the mesh dimensions that a DTensor is sharded over."""
    mesh = param.device_mesh
    if mesh.get_coordinate() is None:  # this process is not on the mesh, and in none of its groups
        return ()
    sharded = [k for k, placement in enumerate(param.placements) if not placement.is_replicate()]
    return tuple(mesh.get_group(k) for k in sharded if mesh.size(k) > 1)
