"""What makes a torch optimizer fused: its step, and its states as gpuopt keeps them."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from .. import scalars
from ..compose import updates_for, within
from ..launch import Group
from ..loaded import warn_of_tails
from ..options import PAIRS, checked_state_dtype
from ..registry import RULES, Rule
from ..state_dicts import OF_TAILS, skipped_in
from ..step import FusedStep
from ..surroundings import Surroundings
from ..tail import Tail, TailOptions, tail_of
from ..written import MovedError
from .arguments import check_arguments
from .engine import GRAD, Engine
from .shared import HELD, Shared, new_held

_COPIED = ("_tail", "_state_dtype", "_norm_group")  # the last refuses, unless it is a name

_DIFFERENTIABLE = "differentiable: gpuopt's step cannot be differentiated, use torch.optim's"


class Fused(Surroundings, torch.optim.Optimizer):
    """The step of an optimizer of torch's as one fused pass; stands before the class itself.

    Options, their checks, schedulers, hooks and state dicts are torch's own. ``state`` is brought
    up to date when somebody looks at it, and read again at the step after that.
    """

    _step_supports_amp_scaling = True

    _rules: ClassVar[tuple[str, ...]]
    """The names of all rules that its options may pick."""
    _names: ClassVar[Mapping[str, str]] = {}
    """torch's names of options that are called otherwise in the rules."""
    _counts: ClassVar[bool] = True
    """Whether torch keeps a step count for each parameter."""

    # Neither pickle nor deepcopy takes these along, but for what `__getstate__` names.
    _engine = Shared()
    _tail = Shared(Tail())
    _state_dtype = Shared()
    _norm_group = Shared()
    _exchanged = Shared(False)
    _skipped_before = Shared(0)
    _state = Shared()
    _lent = Shared()
    """Whether somebody may have changed the states since the last step."""
    _groups_known = Shared(())
    """Those that the engine was made for; ``param_groups`` may be others by now."""
    _plan = Shared()
    """What the options of all groups were, and what follows from them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of torch's class, those of `gpuopt.Tail`, and two more.

        ``state_dtype``: one of ``"float64"``, ``"float32"``, ``"float16"`` and ``"bfloat16"``, of
        states made from here on; None stands for float32 (float64 for float64 parameters).

        ``norm_group``: a process group, or ``"world"``, whose processes each hold other plain
        parameters of one model, as under ZeroRedundancyOptimizer: the norm and ``skip_nonfinite``
        are then theirs together, and all of them must step. DTensors know their groups.
        """
        self.__dict__.setdefault(HELD, new_held())
        self._norm_group = _checked_group(options.pop("norm_group", None))
        self._state_dtype = checked_state_dtype(options.pop("state_dtype", None))
        own = {name: options.pop(name) for name in TailOptions.__annotations__ if name in options}
        self._tail = tail_of(**own)  # type: ignore[typeddict-item]  # which it checks
        check_arguments(type(self), super().__init__, args, options)
        super().__init__(*args, **options)

    def __init_subclass__(cls) -> None:
        """Say what a class takes: what torch's takes, and the options of a tail.

        Unless it has a constructor of its own; but it would inherit the signature of its base.
        """
        super().__init_subclass__()
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
        """Return the name of the rule that a group's options pick."""
        return self._rules[0]

    # --- what surrounds the step ----------------------------------------------------------------

    def _step_taken(self) -> FusedStep:
        return self._engine_for(self._params()).step

    def _take_tail(self, tail: Tail) -> None:
        super()._take_tail(tail)
        self._tail, self._plan = tail, None

    def _like_params(self, values: Sequence[Any]) -> dict[torch.Tensor, torch.Tensor]:
        return self._engine_for(self._params()).as_given(values)

    def _fixed(self) -> Container[int]:
        return self._engine_for(self._params()).exchanged_in_place

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
        self._check_not_exchanged("step")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with self._alone():
            self._update()
        return loss

    def _alone(self) -> Any:
        """Return what lets one thread in at a time: a table that another replaced is freed."""
        return getattr(self, HELD)["lock"]

    def _update(self) -> None:
        params = self._params()
        if not self.param_groups:
            return
        grads = list(map(GRAD, params))
        try:
            self._run(params, grads)
        except MovedError:  # to another device, say: the states go along
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
        changeable = self._state if self._lent else None
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
            self._lent = True
        if self._lent:
            engine.load(self._state, self._names_of("states"))
            self._lent = False
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

    def _names_of(self, part: str) -> frozenset[str]:
        """Return the names of the states, or of what is carried, of all rules it may use."""
        names = {name for rule in self._rules for name in getattr(RULES[rule], part)}
        return frozenset(names | (OF_TAILS if part == "states" else {"rounding_seed"}))

    # --- options ------------------------------------------------------------------------------

    def _groups(self) -> list[Group]:
        """Return what each group wants; the same objects as long as no option changes."""
        key = [
            [_seen(group.get(name)) for name in self.defaults]  # groups may hold anything else
            for group in self.param_groups
        ]
        scale = getattr(self, "grad_scale", None)
        key.append([_seen(scale)])
        plan: tuple[Any, list[Group], Any] | None = self._plan
        if plan is None or plan[0] != key:
            plan = self._plan = key, self._new_groups(scale), scale  # so that its id stays its own
        return plan[1]

    def _new_groups(self, scale: torch.Tensor | None) -> list[Group]:
        if any(group.get("differentiable") for group in self.param_groups):
            raise ValueError(_DIFFERENTIABLE)
        rules = [RULES[self._rule(group)] for group in self.param_groups]
        if self._plan is not None and rules != [group.update.rule for group in self._plan[1]]:
            self.state  # noqa: B018 - read again: momentum begins where there is none yet
        numbers = [self._numbers(g, rule) for g, rule in zip(self.param_groups, rules)]
        for own in numbers:
            own.update(self._tail.numbers(), grad_factor=_reciprocal(scale))
        options = [{k: self._number(k, v) for k, v in own.items()} for own in numbers]
        updates = updates_for(rules, options, self._tail)
        return [
            Group(update, own, self._state_dtype, scalars.arrays_among(given))
            for update, own, given in zip(updates, options, numbers)
        ]

    def _numbers(self, group: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
        """Return the hyperparameters of a group by the names that rules have for them."""
        given = {"maximize": False, "weight_decay": 0.0, **group}
        for pair in PAIRS.keys() & given.keys():
            names = PAIRS[pair]
            numbers = tuple(given[pair]) if isinstance(given[pair], Iterable) else ()
            if len(numbers) != len(names):
                raise ValueError(f"{pair}: expected {len(names)} numbers, got {given[pair]!r}")
            given.update(zip(names, numbers))
        wanted = (*rule.hyperparameters, *rule.initial.values(), "maximize", "weight_decay")
        return {name: given[self._names.get(name, name)] for name in wanted}

    def _number(self, name: str, value: Any) -> float:
        """Return the value of an option, named in errors as torch names it."""
        try:
            return scalars.number_of(value)
        except (TypeError, ValueError, RuntimeError):  # the last: of a tensor with more elements
            name = self._names.get(name, name)
            raise TypeError(f"{name}: expected a number, got {value!r:.80}") from None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does.

        Raises:
            ValueError: a parameter is given twice, or ``differentiable=True``, or it is complex
                and ``state_dtype`` is bfloat16.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        problem = None
        if group.get("differentiable"):
            problem = _DIFFERENTIABLE
        elif len({id(p) for p in group["params"]}) != len(group["params"]):
            problem = "params: a parameter is given twice"
        elif self._state_dtype == "bfloat16" and any(p.is_complex() for p in group["params"]):
            problem = "state_dtype: expected another than 'bfloat16' for complex parameters"
        if problem is not None:
            self.param_groups.pop()
            raise ValueError(problem)

    # --- states -------------------------------------------------------------------------------

    @property
    @torch._disable_dynamo  # a loop that looks at it would be compiled anew at its first steps
    # torch has a plain attribute there: this one is brought up to date by looking at it
    def state(self) -> defaultdict[torch.Tensor, Any]:  # type: ignore[override]
        """For each parameter, its states and its step, by torch's names; waits for devices."""
        engine: Engine | None = self._engine
        if engine is not None and not self._lent:
            with self._alone():
                engine.save(self._state, [self._counts_of(group) for group in self._groups_known])
                self._lent = True
        states: defaultdict[torch.Tensor, Any] = self._state
        return states

    @state.setter
    def state(self, state: defaultdict[torch.Tensor, Any]) -> None:
        self._state, self._lent = state, True

    def _counts_of(self, group: Mapping[str, Any]) -> tuple[Any, torch.dtype] | None:
        """Return where torch has the counts of a group (None: with the parameters), and as what."""
        if not self._counts and not self._tail.stochastic_rounding:
            return None
        fused, double = group.get("fused"), torch.get_default_dtype() == torch.float64
        dtype = torch.float64 if double and not fused else torch.float32
        return (None if group.get("capturable") or fused else "cpu"), dtype

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and deepcopy take along."""
        self._check_not_exchanged("copy")
        kept = {name: getattr(self, name) for name in _COPIED}
        return {**super().__getstate__(), **kept, "_skipped_before": self._skipped()}

    def _skipped(self) -> int:
        """Return how many steps were skipped; waits for a device."""
        engine: Engine | None = self._engine
        return self._skipped_before if engine is None else engine.step.norm.skipped()

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict; the states of a tail stand beside the others.

        With ``skip_nonfinite`` it has ``"skipped_steps"``, too, which torch's optimizers ignore.
        """
        self._check_not_exchanged("state_dict")
        saved: dict[str, Any] = super().state_dict()
        if self._tail.skip_nonfinite:
            saved["skipped_steps"] = self._skipped()
        return saved

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what pickle, deepcopy or a state dict brings."""
        self.__dict__.setdefault(HELD, new_held())
        rest = dict(state)
        for name in ("state", *_COPIED, "_skipped_before"):
            if name in rest:
                setattr(self, name, rest.pop(name))
        super().__setstate__(rest)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load as torch does; but states keep the dtype that they were saved in.

        Averages, masters and compensations that its tail has no use for are left out, with a
        warning.

        Raises:
            ValueError: it is of other groups or parameters, or its count of skipped steps is none.
        """
        self._check_not_exchanged("load_state_dict")
        self.state  # noqa: B018 - an own state dict, given back, is of the last step then
        loaded: list[tuple[dict[str, Any], int | None]] = []
        last = self.register_load_state_dict_pre_hook(
            lambda _, given: loaded.append((given, skipped_in(given)))
        )
        first = self.register_load_state_dict_post_hook(
            lambda _: self._take_states(loaded[-1][0]), prepend=True
        )
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()
            first.remove()
        self._take_skipped(loaded[-1][1])
        warn_of_tails(loaded[-1][0]["state"].values(), self._state.values(), self._tail)

    def _take_skipped(self, count: int | None) -> None:
        """Go on counting from what was saved, if it was."""
        if count is None:
            return
        self._skipped_before = count
        engine: Engine | None = self._engine
        if engine is not None:
            engine.step.norm.load(count)

    def _take_states(self, saved: Mapping[str, Any]) -> None:
        self._keep_dtypes(saved)
        for group in self.param_groups:
            update = within(RULES[self._rule(group)], self._tail)
            for param in group["params"]:
                wanted = update.for_params(str(param.dtype).removeprefix("torch.")).own_states
                for name in OF_TAILS - wanted.keys():  # nobody would bring them on from here
                    self._state.get(param, {}).pop(name, None)

    def _keep_dtypes(self, saved: Mapping[str, Any]) -> None:
        places = [place for group in saved["param_groups"] for place in group["params"]]
        params = self._params()
        for place, param in zip(places, params):
            for name, value in saved["state"].get(place, {}).items():
                held = self._state[param].get(name)
                if torch.is_tensor(value) and torch.is_tensor(held) and value.dtype != held.dtype:
                    self._state[param][name] = value.detach().to(param.device, copy=True)


def _checked_group(group: Any) -> Any:
    """Return a process group, ``"world"`` or None."""
    kinds = getattr(torch.distributed, "ProcessGroup", ())  # torch may be built without
    if group is None or isinstance(group, kinds) or (isinstance(group, str) and group == "world"):
        return group
    raise TypeError(f"norm_group: expected None, 'world' or a process group, got {group!r}")


def _reciprocal(scale: torch.Tensor | None) -> Any:
    """Return what gradients are multiplied by; on a device nobody waits for its value."""
    if scale is None:
        return 1.0
    inverse = scale.detach().double().reciprocal()
    return scalars.value_of(inverse) if scalars.on_host(inverse) else inverse


def _seen(value: Any) -> Any:
    """Return what changes whenever an option's value does."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_seen, value))
    if not isinstance(value, torch.Tensor):
        return value
    known = value.numel() == 1 and scalars.on_host(value)
    return (id(value), scalars.value_of(value)) if known else id(value)
