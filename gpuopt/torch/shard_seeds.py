"""Rounding seeds of shards: each process rounds its shard of a DTensor with its own numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..engine.low_precision import BITS_16, EXACT
from ..engine.tail import Tail
from ..rules.rounding import shard_seed, tensor_seed
from .shards import Shards


class ShardSeeds:
    """The seeds of whole DTensors, from which those of their shards are derived.

    Attributes:
        whole: by index, the whole tensor's seed of each parameter whose shard here has its own.
            This one is saved, so that a checkpoint can be loaded on another mesh.
    """

    def __init__(self, shards: Shards, tail: Tail) -> None:
        """Store what determines whether anything is rounded stochastically.

        Args:
            shards: the shards of the parameters.
            tail: the tail of the optimizer, with its seed.
        """
        self._shards, self._tail = shards, tail
        self.whole: dict[int, float] = {}

    def needed(self, i: int, states: Mapping[str, torch.Tensor], state_dtype: str | None) -> bool:
        """Whether parameter ``i`` is a DTensor that is rounded stochastically, or has such states.

        Args:
            i: the index of the parameter.
            states: the states of the parameter, by name.
            state_dtype: the dtype of its new states; None for the default.
        """
        if i not in self._shards.indices:
            return False
        narrow = {state.dtype for name, state in states.items() if name not in EXACT}
        of_param = self._shards.locals[i].dtype is torch.bfloat16
        by_chance = self._tail.stochastic_rounding or self._tail.narrow == "split8"
        rounded = by_chance and of_param
        if rounded or state_dtype not in (None, "float32", "float64"):
            return True
        return not narrow.isdisjoint(getattr(torch, name) for name in BITS_16)

    def of_shard(self, i: int, saved: float | None) -> float:
        """Return the seed of this process's shard of parameter ``i``.

        Args:
            i: the index of the parameter.
            saved: the seed of the whole tensor, if a state has one.
        """
        coordinate = self._shards.coordinate(i)
        if saved is None:
            saved = self.whole.get(i, tensor_seed({"seed": self._tail.seed}, i))
        if any(coordinate):
            self.whole[i] = saved
        return shard_seed(saved, coordinate)
