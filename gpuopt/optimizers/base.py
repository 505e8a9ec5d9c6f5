"""The base class of all optimizers over plain arrays: groups, steps, state dicts and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

from ..arrays import scalars
from ..engine.groups import Groups
from ..engine.locks import StepLock
from ..engine.step import FusedStep
from ..engine.tail import Tail, tail_of
from ..kernels.float_mode import in_default_mode
from ..messages.suggest import counted
from ..rules.definitions import Definition, definition_for
from ..rules.ranges import HAS_RECIPROCAL
from . import checkpoint
from .constructors import REQUIRED, adopt_signature, class_of
from .containers import WatchedContainers
from .loaded import warn_of_tails
from .options import VALUES, VERSION, Options, checked_state_dtype, grouped
from .params import Key, parse
from .passes import MODE, check_mode
from .plan import Plan, as_floats
from .state_dicts import Reader, snapshot
from .tail_methods import TailMethods
from .unknown import refuse_unknown
from .whole import STATE_DTYPE


class Optimizer(TailMethods):
    r"""The optimizer of a registered rule, for arrays of any library; the base of all others.

    Args:
        params: a list of arrays, a dict of named arrays, or a list of groups, each a dict with
            ``"params"`` and its own options. Arrays are float32, float64, float16 or bfloat16,
            of any shape, and are updated in place.
        rule: the name of a registered rule.
        state_dtype: the dtype of the states; None for float32 (float64 for float64 arrays).
        **options: the rule's hyperparameters, ``weight_decay``, ``maximize``, and the tail's
            options, as `gpuopt.Tail` describes them.

    Raises:
        TypeError, ValueError: there is no such rule, or an array or an option cannot be used.

    >>> import numpy as np
    >>> w = np.zeros(1, np.float32)
    >>> opt = Optimizer([w], rule="momentum", lr=0.5, beta=0.5)
    >>> for _ in range(2):
    ...     opt.step([np.ones(1, np.float32)])
    >>> w, opt.beta
    (array([-1.25], dtype=float32), 0.5)
    """

    __slots__ = (
        "__weakref__",
        "_containers",
        "_fused",
        "_lock",
        "_param_groups",
        "_plan",
        "_planned_sizes",
        "_seen",
        "_state_dtype",
        "_structure",
        "_swapped",
    )

    _definition: ClassVar[Definition]
    """The definition from which the class is generated."""

    def __init_subclass__(cls) -> None:
        """Give a subclass with its own constructor that constructor's signature."""
        super().__init_subclass__()
        if "__init__" in vars(cls) and "__signature__" not in vars(cls):
            adopt_signature(cls)

    def __init__(
        self, params: Any, rule: str, *, state_dtype: str | None = None, **options: Any
    ) -> None:
        """Check the arguments and take the arrays."""
        # The rule's options are attributes of a class made for the rule.
        kind: Any = type(self)
        self.__class__ = class_of(kind, definition_for(rule), kind.__module__)
        defaults = self._definition.defaults
        own = {name: options.pop(name, default) for name, default in defaults.items()}
        self._begin(params, own, {"state_dtype": state_dtype, **options})

    def _begin(self, params: Any, options: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """Check the arguments and take the arrays; ``options`` are the defaults of all groups."""
        self._lock, tail = StepLock(), dict(more)
        self._state_dtype = checked_state_dtype(tail.pop("state_dtype", None))
        refuse_unknown(type(self), tail, options)
        around = tail_of(**tail)
        self._structure, arrays, own = parse(params)
        self._param_groups = grouped(self._definition, options, own)
        self._fused = FusedStep(arrays, self._structure.names, self._structure.group_of, around)
        self._containers = WatchedContainers(params, self._structure, arrays)
        self._swapped = False
        self._plan: Plan | None = None
        self._planned_sizes: list[int] = []
        self._seen: Any = None

    @in_default_mode
    def step(self, grads: Any = REQUIRED, *, scale: float = 1.0) -> None:
        """Update every parameter that has a gradient, in place, in one pass.

        Args:
            grads: arrays in the structure of the parameters, each with its parameter's shape and
                device, in any float dtype and memory order; None for no gradient.
            scale: the factor by which the loss was multiplied; the gradients are divided by it.

        Raises:
            TypeError, ValueError: a gradient or an option does not fit, or the caller's list or
                dict has another array in place of a parameter. Nothing has been changed, and the
                optimizer can still be used.
            BackendError: a forced backend cannot run here.
        """
        if grads is REQUIRED:
            raise TypeError(
                "step: expected grads, arrays in the structure of the parameters; the optimizers "
                "of gpuopt.torch take them from .grad, as those of torch.optim do"
            )
        grad_factor = 1.0 / HAS_RECIPROCAL("scale", scale)
        with self._locked():
            self._check_not_swapped("step")
            check_mode(self, self._param_groups)
            self._containers.check()
            self._fused.run(self._structure.flatten(grads), self._groups(grad_factor))

    def _run_pass(
        self, name: str, grads: Any, among: Sequence[int] = (), grad_factor: float = 1.0
    ) -> None:
        """Run a pass of the rules: over ``grads``, or over the states of the groups ``among``."""
        self._containers.check()
        flat = None if grads is None else self._structure.flatten(grads)
        self._fused.run_pass(name, self._groups(grad_factor), flat, among)

    def _set_mode(self, groups: Sequence[Options], on: bool) -> None:
        for group in groups:
            group.take(MODE, on)

    @property
    def param_groups(self) -> tuple[Options, ...]:
        """The options of each group, as dicts that check what is assigned."""
        return self._param_groups

    @property
    def state(self) -> Mapping[Key, Mapping[str, Any]]:
        """For each array that has been updated: ``step`` and its states, by torch's names.

        The arrays are the live ones, and their values may be changed; `state_dict` returns
        copies. The mappings cannot be changed: `load_state_dict` takes other arrays and counts.
        """
        with self._locked():
            held = self._state_of(self._fused.expose_states())
        return MappingProxyType({key: MappingProxyType(states) for key, states in held.items()})

    def _step_taken(self) -> FusedStep:
        return self._fused

    def _take_tail(self, tail: Tail) -> None:
        super()._take_tail(tail)
        self._plan = None

    def _like_params(self, values: Sequence[Any]) -> Any:
        return self._structure.unflatten(values)

    def _labels(self) -> Sequence[Key]:
        return self._structure.keys

    def state_dict(self, *, decoded: bool = False) -> dict[str, Any]:
        """Return copies of all that `load_state_dict` needs to resume with the same bits.

        8-bit states are saved as codes and scales or, with ``decoded``, as float32 arrays; both
        are loaded without loss.
        """
        with self._locked():
            self._check_not_swapped("state_dict")
            self._fused.complete_states(self._groups(1.0))
            held = self._state_of(self._fused.copies_of_states(decoded))
            own = self._name(), self._structure, self._param_groups, self._state_dtype
            formats = dict(zip(self._structure.keys, () if decoded else self._fused.formats))
            return snapshot(*own, held, self._fused.norm.skipped(), formats)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the states, step counts and options of a state dict.

        Its ``state_dtype``, and those of its groups, replace the ones in use. The next step
        converts states to or from 8 bits; others keep the dtype in which they were saved. An lr
        that is a tensor stays the same tensor and takes the saved value. Averages, masters and
        compensations that no step would update are dropped with a warning.

        Raises:
            TypeError, ValueError: it is of another optimizer, or of other arrays. Nothing has
                been changed.
        """
        with self._locked():
            self._check_not_swapped("load_state_dict")
            contents = Reader(
                self._name(),
                self._structure,
                self._fused.params,
                self._state_dtype,
                self._definition,
                self.tail,
            ).read(state_dict)
            for mine, loaded in zip(self._param_groups, contents.groups):
                loaded.keep_of(mine)
            self._param_groups = contents.groups
            self._state_dtype = contents.state_dtype
            self._plan = None
            self._fused.load(contents.steps, contents.states, contents.carried, contents.formats)
            self._fused.norm.load(contents.skipped_steps)
            warn_of_tails(state_dict["state"].values(), contents.states, self.tail)

    def save(self, path: str | bytes | os.PathLike[Any]) -> None:
        """Write the state dict to a safetensors file, which atomically replaces an old one.

        If this fails, is interrupted, or the process is killed, the old file is unchanged. The
        next save to the same path removes the temporary file of a killed one. An old file's
        permissions are kept, links are followed, and a checksum covers the whole content.

        Raises:
            OSError: the file cannot be written; an old one is unchanged.
            TypeError: not a path.
            ValueError: the path has a null character, or a name is not valid Unicode.
            ImportError: safetensors is not installed.
        """
        checkpoint.write(path, self.state_dict())

    def load(self, path: str | bytes | os.PathLike[Any]) -> None:
        """Read a file that `save` wrote.

        The checksum is verified; files of older versions have none.

        Raises:
            OSError: the file cannot be read, or is a pipe or device.
            TypeError, ValueError: it is truncated, damaged, foreign, or of another optimizer or
                other arrays. Nothing has been changed.
            ImportError: safetensors is not installed.
        """
        contents = checkpoint.read(path)
        try:
            self.load_state_dict(contents)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{os.fsdecode(path)}: {error}") from None

    def __reduce__(self) -> NoReturn:
        """Refuse copies and pickles: a copy would update the arrays of the original."""
        raise TypeError(
            f"{type(self).__name__}: an optimizer cannot be copied or pickled; make a new one over "
            "the other arrays, and give it this one's state_dict()"
        )

    def __repr__(self) -> str:
        """Show the options of each group, and those of the whole optimizer."""
        options = [f"{name}={value!r}" for name, value in self._whole_options().items()]
        shown = ", ".join([*map(repr, self._param_groups), *options])
        name, count = self._name(), counted(len(self._fused.params), "array")
        start = f"{name.removesuffix(')')}, " if name.endswith(")") else f"{name}("
        return f"{start}{count}, {shown})"

    def _state_of(self, states: Sequence[Mapping[str, Any]]) -> dict[Key, dict[str, Any]]:
        fused = self._fused
        held = zip(self._structure.keys, fused.steps.tolist(), states, fused.carried)
        return {
            key: {"step": step, **own, **numbers} for key, step, own, numbers in held if step or own
        }

    # --- options to rules -----------------------------------------------------------------

    def _name(self) -> str:
        """Return the name of the class in state dicts."""
        named, rule = type(self).__name__, self._definition.registered
        return f"{named}(rule={rule!r})" if rule else named

    def _groups(self, grad_factor: float) -> Groups:
        """Return the rules and numbers of each group; the same object while no option changes."""
        plan, seen = self._plan, (grad_factor, list(map(VERSION, self._param_groups)))
        if plan is not None and plan.groups is not None and not plan.live and seen == self._seen:
            return plan.groups
        sizes = list(map(len, self._param_groups))
        if plan is None or sizes != self._planned_sizes:
            definition, tail = self._definition, self.tail
            reads = definition.parts, definition.rule_for, self._numbers_of
            own = [STATE_DTYPE] if any(STATE_DTYPE in g for g in self._param_groups) else []
            names = tuple(definition.defaults)
            kept, maybe = self._state_dtype, definition.optional
            plan = Plan(names, *reads, tail, kept, others=own, optional=maybe)
        groups = plan.take(list(map(VALUES, self._param_groups)), grad_factor)
        self._plan, self._seen, self._planned_sizes = plan, seen, sizes
        return groups

    def _numbers_of(self, name: str, values: Sequence[Any]) -> Sequence[float]:
        numbers = as_floats(values)
        return [self._number(name, v) for v in values] if numbers is None else numbers

    def _number(self, name: str, value: Any) -> float:
        """Return an option as a number; an array's value may have changed since it was set."""
        if not scalars.is_array(value):
            return float(value)
        kinds = {"cpu", *(place.kind for place in self._fused.places)}
        device = scalars.device_of(value)
        if device.partition(":")[0] not in kinds:
            places = ", ".join(map(str, self._fused.places))
            raise ValueError(f"{name}: a tensor on {device}, but the arrays lie on {places}")
        (accepts,) = self._definition.by_name[name].ranges
        return accepts(name, scalars.number_of(value))
