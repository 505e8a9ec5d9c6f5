"""Reading, pickling, copying, saving and loading the states of a drop-in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..optimizers.coded_dicts import CODED_STATE, formats_part
from ..optimizers.loaded import warn_of_tails
from ..optimizers.tail_methods import TailMethods
from .loading import LoadedStates
from .shared_attributes import SHARED, new_shared
from .state_dict_checks import check_state_dict
from .step_counts import StepCounts

if TYPE_CHECKING:
    from typing_extensions import Self

    from .tensor_step import TensorStep

_PICKLED = (
    "_tail",
    "_tail_at_first",
    "_state_dtype",
    "_norm_group",  # a process group cannot be pickled; its name "world" can
    "_step_supports_amp_scaling",
)
"""Attributes in pickles and copies; a pickle of another version has these names, too."""

_EXACT_COUNTS = "_exact"
"""The name of the exact step counts in pickles."""


class Serializable(TailMethods, torch.optim.Optimizer):
    """The part of `fused.Fused` for its states; the attributes are described there."""

    _tensor_step: Any
    _tail: Any
    _skipped_before: Any
    _step_counts: Any
    _state: Any
    _tensor_step_for: Any
    _groups: Any
    _coded: Any
    _packed: Any
    _states_exposed: Any
    _stepped_groups: Any
    _added_flags: ClassVar[Mapping[str, Any]]

    @property
    @torch._disable_dynamo  # a compiled loop that reads it would be recompiled at its first steps
    # torch has a plain attribute here; reading this one updates it
    def state(self) -> defaultdict[torch.Tensor, Any]:  # type: ignore[override]
        """The states and step of each parameter, by torch's names; synchronizes with devices."""
        with self._locked():
            if self._packed is not None:
                packed: defaultdict[torch.Tensor, Any] = self._packed
                return packed
            if self._coded:
                self._tensor_step_for(self._params())
            step: TensorStep | None = self._tensor_step
            if step is not None and not self._states_exposed:
                step.states.save(self._state, *self._counted())
                self._states_exposed = True
            states: defaultdict[torch.Tensor, Any] = self._state
            return states

    @state.setter
    def state(self, state: defaultdict[torch.Tensor, Any]) -> None:
        with self._locked():
            self._state, self._states_exposed = state, True

    def _counted(self) -> tuple[list[tuple[Any, torch.dtype]], bool, StepCounts]:
        """Return the step tensor of each group, whether torch counts, and the exact counts."""
        step_tensors = [self._step_tensor_of(group) for group in self._stepped_groups]
        return step_tensors, self._definition.counts_steps, self._step_counts

    def _step_tensor_of(self, group: Mapping[str, Any]) -> tuple[Any, torch.dtype]:
        """Return the device (None: the parameter's) and the dtype of a group's step tensors."""
        fused, double = group.get("fused"), torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double and not fused else torch.float32
        return (None if group.get("capturable") or fused else "cpu"), dtype

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of pickles and deep copies.

        Raises:
            NotAvailableError: inside `ema_weights`.
        """
        with self._locked():
            self._check_not_swapped("copy")
            saved = super().__getstate__()  # reads `state`, which updates it
            own = {name: getattr(self, name) for name in _PICKLED}
            exact = self._step_counts.exact()
            counts = {_EXACT_COUNTS: exact} if exact else {}
            return {**saved, **own, **counts, "_skipped_before": self._skipped()}

    def __copy__(self) -> Self:
        """Return an optimizer that shares groups, states and counts with this one, as in torch.

        Loading a state dict into either separates them.
        """
        with self._locked():
            twin = type(self).__new__(type(self))
            twin.__setstate__(self.__getstate__())
            twin.__dict__[SHARED] = getattr(self, SHARED)
            getattr(self, SHARED)["copied"] = True
            return twin

    def _skipped(self) -> int:
        """Return the number of skipped steps; synchronizes with a device."""
        step: TensorStep | None = self._tensor_step
        return self._skipped_before if step is None else step.step.norm.skipped()

    def state_dict(self, *, decoded: bool = True) -> dict[str, Any]:
        """Return torch's state dict, with the states of the tail among the others.

        With ``skip_nonfinite`` it also has ``"skipped_steps"``, which torch's optimizers ignore.

        Args:
            decoded: whether 8-bit states are float32 tensors, which torch.optim can load. If not,
                they are codes and scales in ``"coded_state"`` instead of ``"state"``, which only
                drop-ins load. Both are loaded without loss. Except for decoded values, the tensors
                are the live ones, as in torch.

        Raises:
            NotAvailableError: inside `ema_weights`.
        """
        with self._locked():
            self._check_not_swapped("state_dict")
            saved: dict[str, Any] = super().state_dict() if decoded else self._coded_state_dict()
            if self._tail.skip_nonfinite:
                saved["skipped_steps"] = self._skipped()
            return saved

    def _coded_state_dict(self) -> dict[str, Any]:
        """Return a state dict with codes; torch's own, if no state has codes."""
        if self._tensor_step is None and not (self._state or self._coded):
            plain: dict[str, Any] = super().state_dict()
            return plain
        groups, params = self._groups(), self._params()
        step: TensorStep = self._tensor_step_for(params)
        step.step.complete_states(groups)
        step.step.expose_states()  # the caller has them, and may change them
        names, counted = self._state_names(), self._counted()
        self._packed, formats = step.states.coded(self._state, names, *counted)
        try:
            part = formats_part(formats, {i: self._packed[params[i]] for i in formats})
            saved: dict[str, Any] = super().state_dict()
        finally:
            self._packed = None
        if part and "state" in saved:
            saved = {**saved, CODED_STATE: saved["state"], **part}
            del saved["state"]
        return saved

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes from a pickle, a copy, or a state dict that torch loads."""
        self.__dict__.setdefault(SHARED, new_shared())
        if self._is_copied():  # torch is loading a state dict: from now on the copies share nothing
            own = {name: getattr(self, name) for name in _PICKLED}
            own["lock"] = getattr(self, SHARED)["lock"]  # `load_state_dict` holds it
            self.__dict__[SHARED] = {**new_shared(), **own, "_skipped_before": self._skipped()}
        rest = dict(state)
        if _EXACT_COUNTS in rest:
            self._step_counts = StepCounts(rest.pop(_EXACT_COUNTS))
        for name in ("state", *_PICKLED, "_skipped_before"):
            if name in rest:
                setattr(self, name, rest.pop(name))
        super().__setstate__(rest)
        for group in self.param_groups:
            for name, value in self._added_flags.items():
                group.setdefault(name, value)

    def _is_copied(self) -> bool:
        return "copied" in getattr(self, SHARED)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load as torch does, except that states are copied, in the dtypes they were saved in.

        It may have codes of 8-bit states, whatever ``state_dtype`` is in use, and masters of
        another kind: the next step converts them.

        Tail states that this optimizer does not use (EMA, master weights, Kahan compensations)
        are dropped with a warning.

        Raises:
            TypeError, ValueError: it is of another class, of other groups or parameters, or its
                number of skipped steps is not a count; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        given: Any = state_dict
        if not isinstance(given, Mapping):
            check_state_dict(self, given)  # raises
        with self._locked():
            self._check_not_swapped("load_state_dict")
            states = self.state  # up to date now, even if it is in the state dict that is loaded
            mine = {} if self._is_copied() else states
            loaded: list[LoadedStates] = []

            def take(_: Any, given: dict[str, Any]) -> dict[str, Any]:
                loaded.append(LoadedStates(self, given, mine))
                return loaded[-1].rest

            last = self.register_load_state_dict_pre_hook(take)

            def put(_: Any) -> None:
                loaded[-1].put(self._state, self._step_counts)
                self._coded = loaded[-1].coded

            first = self.register_load_state_dict_post_hook(put, prepend=True)
            try:
                super().load_state_dict(state_dict)
            finally:
                last.remove()
                first.remove()
            self._take_skipped(loaded[-1].skipped)
            warn_of_tails(loaded[-1].saved, self._state.values(), self._tail)

    def _take_skipped(self, count: int | None) -> None:
        """Continue a saved number of skipped steps, if there is one."""
        if count is None:
            return
        self._skipped_before = count
        step: TensorStep | None = self._tensor_step
        if step is not None:
            step.step.norm.load(count)
