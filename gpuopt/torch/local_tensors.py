"""The local, real view of each parameter that a step updates."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..arrays import describe_state, resolved
from ..engine.masters import dtypes_of_state
from .complex_tensors import as_real, real_view
from .shards import Shards
from .state_values import checked_state, dtypes_in_state, shown, taken


class LocalTensors:
    """The local shards of DTensors and real views of complex tensors, and their inverses.

    Attributes:
        params: the parameters.
        names: of the parameters, for error messages.
        shards: the shards of the parameters; an inactive one has an empty tensor.
        complex: the indices of the complex parameters.
        views: for each parameter, the tensor that the step updates.
        all_plain: whether none is complex or a DTensor.
    """

    def __init__(
        self, params: Sequence[torch.Tensor], names: Sequence[str], shards: Shards
    ) -> None:
        """Make the views; the arguments are attributes.

        Raises:
            TypeError: a parameter is a conjugated view.
        """
        self.params, self.names, self.shards = list(params), list(names), shards
        self.complex = [i for i, p in enumerate(shards.locals) if p.is_complex()]
        self.views = [real_view(p, name) for p, name in zip(shards.locals, names)]
        self.all_plain = not (self.complex or shards.indices)

    def fits(self, params: Sequence[torch.Tensor]) -> bool:
        """Whether the views still match the parameters, which are the same objects."""
        if self.all_plain:
            return True
        own = self.shards.locals
        return self.shards.fits(params) and all(
            own[i].data_ptr() == self.views[i].data_ptr() for i in self.complex
        )

    def indices_of_views(self) -> frozenset[int]:
        """Return the indices of the parameters that the step updates through a view of them."""
        return frozenset((*self.shards.indices, *self.complex))

    def local_state(self, i: int, name: str, array: torch.Tensor) -> torch.Tensor:
        """Return a state of parameter ``i`` in the step's form: local, real, on its device.

        Raises:
            TypeError, ValueError: it does not fit the parameter, or its elements overlap.
        """
        what = f"state {name!r} of {self.names[i]}"
        state = checked_state(array, self.params[i], what)
        own = resolved(self.shards.shard_of(i, state).to(self.shards.locals[i].device))
        own = taken(name, own)
        real = as_real(own) if own.is_complex() else own
        memory = describe_state(real, what)
        if memory.dtype not in dtypes_of_state(name):
            expected = ", ".join(dtypes_in_state(name))
            raise TypeError(f"{what}: expected one of {expected}, got {real.dtype}")
        if memory.overlaps_itself:
            raise ValueError(f"{what}: elements of the array overlap (is it broadcast?)")
        return real

    def state_in_torch(self, i: int, name: str, array: torch.Tensor) -> torch.Tensor:
        """Return a state of parameter ``i`` in torch's form."""
        return self.to_torch(i, shown(name, array))

    def to_torch(self, i: int, array: torch.Tensor) -> torch.Tensor:
        """Convert a tensor from the form of the step's parameter ``i`` to the optimizer's."""
        own = torch.view_as_complex(array) if i in self.complex else array
        return self.shards.to_dtensor(i, own)

    def by_parameter(self, values: Sequence[torch.Tensor]) -> dict[torch.Tensor, torch.Tensor]:
        """Return the step's values for each parameter in torch's form, by parameter."""
        pairs = zip(self.params, values, self.views)
        return {
            p: p if value is view else self.to_torch(i, value)
            for i, (p, value, view) in enumerate(pairs)
        }
