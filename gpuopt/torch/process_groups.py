"""torch.distributed's process groups, and the collectives that a step needs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..kernels.table import add_partials


class TorchProcessGroups:
    """Combine measurements over process groups; implements `engine.sharding.ProcessGroups`.

    Attributes:
        whole: see `engine.sharding.ProcessGroups`.
    """

    def __init__(self, groups: tuple[Any, ...], whole: bool = False) -> None:
        """Store the groups.

        Args:
            groups: process groups; sums are combined over each in turn.
            whole: see `engine.sharding.ProcessGroups`.
        """
        self._groups, self.whole = groups, whole

    def combine(self, partials: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the combined partials of all processes, added in rank order."""
        for group in self._groups:
            own = torch.from_numpy(np.ascontiguousarray(partials)).reshape(1, -1)
            rows = own.new_empty((group.size(), own.numel()))
            all_gather(group, rows, own)
            parts = rows.numpy().reshape(group.size(), *partials.shape)
            partials = reduce(add_partials, parts)
        return partials

    def gather(self, total: Any) -> None:
        """Combine a total on a device with those of all processes, in place."""
        for group in self._groups:
            total.gather(partial(all_gather, group), group.size())


def resolve_group(group: Any) -> Any:
    """Return a process group; ``"world"`` stands for the default group.

    Raises:
        ValueError: ``"world"``, before init_process_group was called.
    """
    if group != "world":
        return group
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ValueError("norm_group: got 'world', expected init_process_group to be called before")
    return torch.distributed.group.WORLD


def all_gather(group: Any, rows: torch.Tensor, own: torch.Tensor) -> None:
    """Gather the tensor of each process of a group into ``rows``, on a device the group serves."""
    distributed: Any = torch.distributed
    gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
    device = device_for(group, own.device)
    gathered = rows.to(device)  # rows itself, if it is on this device already
    gather(gathered, own.to(device), group=group)
    if gathered is not rows:
        rows.copy_(gathered)


def all_reduce_max(flag: torch.Tensor, groups: Sequence[Any]) -> torch.Tensor:
    """Return the maximum of a number over all processes of some groups, on its own device."""
    for group in groups:
        found = flag.to(device_for(group, flag.device), copy=True)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group)
        flag = found.to(flag.device)
    return flag


def device_for(group: Any, device: torch.device) -> torch.device:
    """Return ``device``, or the first device that a group's backends support."""
    kinds = [kind.type for kind in group._device_types]
    if device.type in kinds:
        return device
    return torch.device(kinds[0], torch.cuda.current_device() if kinds[0] == "cuda" else None)
