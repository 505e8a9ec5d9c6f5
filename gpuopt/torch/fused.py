"""What makes a torch optimizer fused: its step, and its states as gpuopt keeps them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch

from ..arrays import scalars
from ..engine.groups import Groups
from ..engine.parameters import ParameterMovedError
from ..engine.step import FusedStep
from ..engine.tail import Tail, TailOptions, tail_of
from ..optimizers.options import checked_state_dtype
from ..optimizers.plan import Plan, as_floats, seen
from ..optimizers.state_dicts import OF_TAILS
from ..rules.registry import RULES, Rule
from ..rules.rounding import SEED
from .arguments import check_arguments
from .configured import DIFFERENTIABLE, Configured
from .engine import GRAD, Engine
from .fitting import check_options, torchs_name
from .modes import ordinary
from .origin import know
from .saved import Saved
from .shared import SHARED, Shared, new_shared

_OF_TORCH = ("foreach", "capturable", "fused")
"""Options that say how torch's own step is done."""


class Fused(Saved, Configured):
    """The step of an optimizer of torch's as one fused pass; stands before the class itself.

    Options, their checks, schedulers, hooks and state dicts are torch's own. ``state`` is brought
    up to date when somebody looks at it, and read again at the step after that.
    """

    _rules: ClassVar[tuple[str, ...]]
    """The names of all rules that its options may pick."""
    _names: ClassVar[Mapping[str, str]] = {}
    """torch's names of options that are called otherwise in the rules."""
    _left_out: ClassVar[Mapping[str, Any]] = {}
    """Options that a saved group may lack, where no class of torch's knows them."""
    _counts: ClassVar[bool] = True
    """Whether torch keeps a step count for each parameter."""

    _step_supports_amp_scaling = Shared(False)
    """Whether GradScaler hands its scale to the step, which then unscales and skips by itself.

    Else GradScaler unscales the gradients, and calls no step where one overflowed. torch sets it
    where ``fused=True``.
    """

    # Neither pickle nor deepcopy takes these along, but for what `__getstate__` names.
    _engine = Shared()
    _swapped = Shared(False)
    _skipped_before = Shared(0)
    _exact = Shared()
    """The counts behind the step tensors in the states."""
    _state = Shared()
    _states_exposed = Shared()
    """Whether somebody may have changed the states since the last step."""
    _groups_known = Shared(())
    """Those that the engine was made for; ``param_groups`` may be others by now."""
    _plan = Shared()
    """What the options of all groups were, and what follows from them."""
    _sizes_known = Shared()
    """How many names each group had when they were checked."""
    _scale_known = Shared()
    """What was seen of the last ``grad_scale``, what gradients are multiplied by, and itself."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of torch's class, those of `gpuopt.Tail`, and two more.

        ``state_dtype``: one of ``"float64"``, ``"float32"``, ``"float16"`` and ``"bfloat16"``, of
        states made from here on; None stands for float32 (float64 for float64 parameters). Rounding
        to 16 bits is stochastic.

        ``norm_group``: a process group, or ``"world"``, whose processes each hold other plain
        parameters of one model, as under ZeroRedundancyOptimizer: the norm and ``skip_nonfinite``
        are then theirs together, and all of them must step. DTensors know their groups.
        """
        self.__dict__.setdefault(SHARED, new_shared())
        self._norm_group = _checked_group(options.pop("norm_group", None))
        self._state_dtype = checked_state_dtype(options.pop("state_dtype", None))
        own = {name: options.pop(name) for name in TailOptions.__annotations__ if name in options}
        tail = tail_of(**own)  # type: ignore[typeddict-item]  # which it checks
        self._tail = self._tail_at_first = tail
        check_arguments(type(self), super().__init__, args, options)
        with ordinary():
            super().__init__(*args, **options)
        if self.defaults.get("fused") or self._runs_when_skipped():
            self._step_supports_amp_scaling = True

    def _runs_when_skipped(self) -> bool:
        """Whether a step that GradScaler skips still has something to do, or others to tell."""
        tail: Tail = self._tail
        return tail.measures or tail.zero_grads or self._norm_group is not None

    def __init_subclass__(cls) -> None:
        """Say what a class takes: what torch's takes, and the options of a tail.

        Unless it has a constructor of its own; but it would inherit the signature of its base.
        """
        super().__init_subclass__()
        if "_rules" in vars(cls):
            know(cls, cls._names_of("states"))
        own = cls.__init__ is not Fused.__init__
        known = inspect.signature(cls.__init__ if own else super().__init__)
        given = list(known.parameters.values())[1:]
        if not own:
            only = inspect.Parameter.KEYWORD_ONLY
            more = [inspect.Parameter(n, only, default=None) for n in ("state_dtype", "norm_group")]
            around = inspect.Parameter("tail", inspect.Parameter.VAR_KEYWORD)
            given = [*(p for p in given if p.kind is not p.VAR_KEYWORD), *more, around]
        cls.__signature__ = known.replace(parameters=given)  # type: ignore[attr-defined]

    def _rule(self, group: Mapping[str, Any]) -> str:
        """Return the name of the rule that a group's options pick; lr is none of them."""
        return self._rules[0]

    # --- what surrounds the step ----------------------------------------------------------------

    def _step_taken(self) -> FusedStep:
        with self._alone():
            return self._engine_for(self._params()).step

    def _take_tail(self, tail: Tail) -> None:
        super()._take_tail(tail)
        self._tail, self._plan = tail, None

    def _like_params(self, values: Sequence[Any]) -> dict[torch.Tensor, torch.Tensor]:
        with self._alone():
            return self._engine_for(self._params()).as_given(values)

    def _fixed(self) -> Container[int]:
        with self._alone():
            return self._engine_for(self._params()).swapped_in_place

    def _labels(self) -> Sequence[str]:
        return self._param_names()

    # --- the step -----------------------------------------------------------------------------

    @torch._disable_dynamo
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in one pass.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            RuntimeError: a gradient is sparse; nothing has been changed.
            TypeError, ValueError: a tensor does not fit; nothing has been changed.
        """
        self._check_not_swapped("step")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with self._alone():
            self._update()
        return loss

    def _alone(self) -> Any:
        """Return what lets one thread in at a time: a table that another replaced is freed.

        In there tensors are ordinary ones, also under `torch.inference_mode`.
        """
        return ordinary(getattr(self, SHARED)["lock"])

    def _update(self) -> None:
        params = self._params()
        if not self.param_groups:
            return
        grads = list(map(GRAD, params))
        try:
            self._run(params, grads)
        except ParameterMovedError:  # to another device, say: the states go along
            self._forget_engine()
            self._run(params, grads)
        except TypeError:
            if any(g is not None and g.layout is not torch.strided for g in grads):
                name = type(self).__name__
                raise RuntimeError(f"{name} does not support sparse gradients") from None
            engine: Engine | None = self._engine
            if engine is None or not engine.lacks_casts_of(params):
                raise
            self._forget_engine()
            self._run(params, grads)

    def _run(self, params: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None]) -> None:
        skip = getattr(self, "found_inf", None)  # GradScaler sets it, and grad_scale, for a step
        skip = skip if isinstance(skip, torch.Tensor) else None  # 0, if there is no gradient
        groups = self._groups()
        self._engine_for(params).run(grads, groups, skip)

    def _engine_for(self, params: Sequence[torch.Tensor]) -> Engine:
        sizes = [len(group["params"]) for group in self.param_groups]
        engine: Engine | None = self._engine
        changeable = self._state if self._states_exposed else None
        if engine is not None and not engine.fits(params, sizes, changeable):
            self._forget_engine()
            engine = None
        if engine is None:
            engine = self._engine = Engine(
                params,
                self._param_names(),
                sizes,
                self._names_of("carried"),
                self._tail,
                self._state_dtype,
                self._state,
                self._norm_group,
            )
            engine.step.norm.load(self._skipped_before)
            self._states_exposed = True
        if self._states_exposed:
            engine.load(self._state, self._names_of("states"), self._exact)
            self._states_exposed = False
        self._groups_known = list(self.param_groups)
        return engine

    def _forget_engine(self) -> None:
        """Keep what the engine knows, and make another at the next step."""
        self.state  # noqa: B018 - brings it up to date
        self._skipped_before = self._skipped()
        self._engine = self._plan = None

    def _params(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _param_names(self) -> list[str]:
        names: list[str] = []
        for group in self.param_groups:
            own = group.get("param_names")
            names += own or [f"params[{len(names) + i}]" for i in range(len(group["params"]))]
        return names

    @classmethod
    def _names_of(cls, part: str) -> frozenset[str]:
        """Return the names of the states, or of what is carried, of all rules it may use."""
        names = {name for rule in cls._rules for name in getattr(RULES[rule], part)}
        return frozenset(names | (OF_TAILS if part == "states" else {SEED}))

    # --- options ------------------------------------------------------------------------------

    def _groups(self) -> Groups:
        """Return what each group wants; the same object as long as no option changes."""
        plan: Plan | None = self._plan
        rules = [] if plan is None else plan.rules
        if plan is None or list(map(len, self.param_groups)) != self._sizes_known:
            plan = self._plan = self._new_plan()
        factor = self._factor()
        groups = plan.take(self.param_groups, factor)
        if rules and rules is not plan.rules and rules != plan.rules:
            self.state  # noqa: B018 - read again: momentum begins where there is none yet
        return groups

    def _new_plan(self) -> Plan:
        """Check all groups, which have other names than before."""
        self._check_groups()
        self._sizes_known = list(map(len, self.param_groups))
        names = [name for name in self.defaults if name not in _OF_TORCH]
        reads = self._names, self._accepted_rule, self._numbers_of
        checks = partial(check_options, self), self._check_changed
        return Plan(names, *reads, self._tail, self._state_dtype, *checks, self._repeated())

    def _accepted_rule(self, group: Mapping[str, Any]) -> Rule:
        if group.get("differentiable"):
            raise ValueError(DIFFERENTIABLE)
        return RULES[self._rule(group)]

    def _factor(self) -> Any:
        """Return what gradients are multiplied by; on a device nobody waits for its value."""
        scale = getattr(self, "grad_scale", None)
        if scale is None:
            return 1.0
        known: tuple[Any, Any, Any] | None = self._scale_known
        seen_now = seen(scale)
        if known is None or known[0] != seen_now:
            inverse = scale.detach().double().reciprocal()
            factor = scalars.value_of(inverse) if scalars.on_host(inverse) else inverse
            known = self._scale_known = seen_now, factor, scale  # so that its id stays its own
        return known[1]

    def _numbers_of(self, name: str, values: Sequence[Any]) -> Sequence[float]:
        numbers = as_floats(values)
        if numbers is not None:
            return numbers
        return [self._number(place, name, value) for place, value in enumerate(values)]

    def _number(self, place: int, name: str, value: Any) -> float:
        """Return the value of a group's option, named in errors as torch names it."""
        try:
            return scalars.number_of(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: of many elements
            name = f"param_groups[{place}]: {torchs_name(self, name)}"
            raise TypeError(f"{name}: expected a number, got {value!r:.80}") from None


def _checked_group(group: Any) -> Any:
    """Return a process group, ``"world"`` or None."""
    kinds = getattr(torch.distributed, "ProcessGroup", ())  # torch may be built without
    if group is None or isinstance(group, kinds) or (isinstance(group, str) and group == "world"):
        return group
    raise TypeError(f"norm_group: expected None, 'world' or a process group, got {group!r}")
