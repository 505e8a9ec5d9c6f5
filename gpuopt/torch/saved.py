"""The states of a fused optimizer: looked at, saved, copied and loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..optimizers.loaded import warn_of_tails
from ..optimizers.tail_methods import TailMethods
from .counts import Counts
from .fitting import check
from .loading import Loaded
from .modes import ordinary
from .shared import SHARED, new_shared

if TYPE_CHECKING:
    from typing_extensions import Self

    from .engine import Engine

_COPIED = (
    "_tail",
    "_tail_at_first",
    "_state_dtype",
    "_norm_group",  # it refuses, unless it is a name
    "_step_supports_amp_scaling",
)


class Saved(TailMethods, torch.optim.Optimizer):
    """The half of `fused.Fused` that does not step; its attributes are described there."""

    _engine: Any
    _tail: Any
    _skipped_before: Any
    _exact: Any
    _state: Any
    _states_exposed: Any
    _groups_known: Any
    _counts: ClassVar[bool]
    _left_out: ClassVar[Mapping[str, Any]]

    @property
    @torch._disable_dynamo  # a loop that looks at it would be compiled anew at its first steps
    # torch has a plain attribute there: this one is brought up to date by looking at it
    def state(self) -> defaultdict[torch.Tensor, Any]:  # type: ignore[override]
        """For each parameter, its states and its step, by torch's names; waits for devices."""
        engine: Engine | None = self._engine
        if engine is not None and not self._states_exposed:
            with self._alone():
                counts = [self._counts_of(group) for group in self._groups_known]
                engine.save(self._state, counts, self._counts, self._exact)
                self._states_exposed = True
        states: defaultdict[torch.Tensor, Any] = self._state
        return states

    @state.setter
    def state(self, state: defaultdict[torch.Tensor, Any]) -> None:
        self._state, self._states_exposed = state, True

    def _counts_of(self, group: Mapping[str, Any]) -> tuple[Any, torch.dtype]:
        """Return where torch has the counts of a group (None: with the parameters), and as what."""
        fused, double = group.get("fused"), torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double and not fused else torch.float32
        return (None if group.get("capturable") or fused else "cpu"), dtype

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy take along."""
        self._check_not_swapped("copy")
        saved = super().__getstate__()  # looks at the states
        kept = {name: getattr(self, name) for name in _COPIED}
        exact = {"_exact": self._exact.exact()} if self._exact.exact() else {}
        return {**saved, **kept, **exact, "_skipped_before": self._skipped()}

    def __copy__(self) -> Self:
        """Return another name for this optimizer, until either loads a state dict.

        As with torch's, both have the same groups, states and counts.
        """
        twin = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        twin.__dict__[SHARED] = getattr(self, SHARED)
        getattr(self, SHARED)["copied"] = True
        return twin

    def _skipped(self) -> int:
        """Return how many steps were skipped; waits for a device."""
        engine: Engine | None = self._engine
        return self._skipped_before if engine is None else engine.step.norm.skipped()

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict; the states of a tail stand beside the others.

        With ``skip_nonfinite`` it has ``"skipped_steps"``, too, which torch's optimizers ignore.
        """
        self._check_not_swapped("state_dict")
        saved: dict[str, Any] = super().state_dict()
        if self._tail.skip_nonfinite:
            saved["skipped_steps"] = self._skipped()
        return saved

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what pickle, deepcopy or a state dict brings."""
        self.__dict__.setdefault(SHARED, new_shared())
        if self._is_copied():  # a state dict: from here on these are two
            known = {name: getattr(self, name) for name in _COPIED}
            self.__dict__[SHARED] = {**new_shared(), **known, "_skipped_before": self._skipped()}
        rest = dict(state)
        if "_exact" in rest:
            self._exact = Counts(rest.pop("_exact"))
        for name in ("state", *_COPIED, "_skipped_before"):
            if name in rest:
                setattr(self, name, rest.pop(name))
        super().__setstate__(rest)
        for group in self.param_groups:
            for name, value in self._left_out.items():
                group.setdefault(name, value)

    def _is_copied(self) -> bool:
        return "copied" in getattr(self, SHARED)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load as torch does; but the states are copies, in the dtypes that they were saved in.

        Averages, masters and compensations that its tail has no use for are left out, with a
        warning.

        Raises:
            TypeError, ValueError: it is of another class, or of other groups or parameters, or its
                count of skipped steps is none; nothing has been changed.
        """
        self._check_not_swapped("load_state_dict")
        given: Any = state_dict
        if not isinstance(given, Mapping):
            check(self, given)  # which says so
        with ordinary():
            states = self.state  # an own state dict, given back, is of the last step then
            mine = {} if self._is_copied() else states
            loaded: list[Loaded] = []

            def take(_: Any, given: dict[str, Any]) -> dict[str, Any]:
                loaded.append(Loaded(self, given, mine))
                return loaded[-1].rest

            last = self.register_load_state_dict_pre_hook(take)
            first = self.register_load_state_dict_post_hook(
                lambda _: loaded[-1].put(self._state, self._exact), prepend=True
            )
            try:
                super().load_state_dict(state_dict)
            finally:
                last.remove()
                first.remove()
        self._take_skipped(loaded[-1].skipped)
        warn_of_tails(loaded[-1].saved, self._state.values(), self._tail)

    def _take_skipped(self, count: int | None) -> None:
        """Go on counting from what was saved, if it was."""
        if count is None:
            return
        self._skipped_before = count
        engine: Engine | None = self._engine
        if engine is not None:
            engine.step.norm.load(count)
