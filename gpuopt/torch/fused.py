"""The base of the drop-ins: torch's ``step``, done in one fused pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar

import torch

from ..engine.parameters import ParameterMovedError
from ..engine.step import FusedStep
from ..engine.tail import Tail, TailOptions, tail_of
from ..optimizers.options import checked_state_dtype
from ..optimizers.state_dicts import OF_TAILS
from ..rules.registry import RULES, Rule
from ..rules.rounding import SEED
from .arguments import check_arguments
from .grad_scaler import GradScalerSupport
from .group_plan import PlannedParamGroups
from .inference_mode import ordinary
from .known_optimizers import register_optimizer
from .param_groups import DIFFERENTIABLE
from .serialization import Serializable
from .shared_attributes import SHARED, Shared, new_shared
from .tensor_step import GRAD, TensorStep


class Fused(Serializable, GradScalerSupport, PlannedParamGroups):
    """The base class that a drop-in lists before torch.optim's class, to replace its step.

    Options, their checks, schedulers, hooks and state dicts stay torch's. Reading ``state`` brings
    it up to date; the next step then loads it again, since it may have been changed.
    """

    _rules: ClassVar[tuple[str, ...]]
    """The names of all rules that its options may pick."""
    _names: ClassVar[Mapping[str, str]] = {}
    """torch's names of options that are called otherwise in the rules."""
    _left_out: ClassVar[Mapping[str, Any]] = {}
    """Options that a saved group may lack, where no class of torch's knows them."""
    _counts: ClassVar[bool] = True
    """Whether torch keeps a step count for each parameter."""

    # Pickles and deep copies have only those of these that `__getstate__` names.
    _tensor_step = Shared()
    _swapped = Shared(False)
    _skipped_before = Shared(0)
    """The number of skipped steps that `_tensor_step` has not counted itself."""
    _step_counts = Shared()
    """The exact counts behind the step tensors in ``state``."""
    _state = Shared()
    _states_exposed = Shared()
    """Whether ``state`` may have been changed since the last step."""
    _stepped_groups = Shared(())
    """The groups of the last step; ``param_groups`` may have others by now."""

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

    def __init_subclass__(cls) -> None:
        """Say what a class takes: what torch's takes, and the options of a tail.

        Unless it has a constructor of its own; but it would inherit the signature of its base.
        """
        super().__init_subclass__()
        if "_rules" in vars(cls):
            register_optimizer(cls, cls._names_of("states"))
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

    # --- what `TailMethods` asks for ------------------------------------------------------------

    def _step_taken(self) -> FusedStep:
        with self._locked():
            return self._tensor_step_for(self._params()).step

    def _take_tail(self, tail: Tail) -> None:
        super()._take_tail(tail)
        self._tail, self._plan = tail, None

    def _like_params(self, values: Sequence[Any]) -> dict[torch.Tensor, torch.Tensor]:
        with self._locked():
            return self._tensor_step_for(self._params()).tensors.by_parameter(values)

    def _fixed(self) -> Container[int]:
        with self._locked():
            return self._tensor_step_for(self._params()).tensors.indices_of_views()

    def _labels(self) -> Sequence[str]:
        return self._param_names()

    # --- the step -------------------------------------------------------------------------------

    @torch._disable_dynamo
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in one pass.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            RuntimeError: a gradient is sparse; nothing has been changed.
            TypeError, ValueError: a tensor or an option is not accepted; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        self._check_not_swapped("step")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with self._locked():
            self._update()
        return loss

    def _locked(self) -> Any:
        """Return a context for one thread at a time, outside of `torch.inference_mode`.

        A step may replace tables that another thread's step still uses.
        """
        return ordinary(getattr(self, SHARED)["lock"])

    def _update(self) -> None:
        params = self._params()
        if not self.param_groups:
            return
        grads = list(map(GRAD, params))
        try:
            self._run(params, grads)
        except ParameterMovedError:  # to another device, say: the states move along
            self._forget_tensor_step()
            self._run(params, grads)
        except TypeError:
            if any(g is not None and g.layout is not torch.strided for g in grads):
                name = type(self).__name__
                raise RuntimeError(f"{name} does not support sparse gradients") from None
            step: TensorStep | None = self._tensor_step
            if step is None or not step.differs_in_complexity(params):
                raise
            self._forget_tensor_step()
            self._run(params, grads)

    def _run(self, params: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None]) -> None:
        groups = self._groups()
        self._tensor_step_for(params).run(grads, groups, self._found_inf())

    def _tensor_step_for(self, params: Sequence[torch.Tensor]) -> TensorStep:
        """Return the step of these parameters, with the states in ``state`` loaded."""
        sizes = [len(group["params"]) for group in self.param_groups]
        step: TensorStep | None = self._tensor_step
        changeable = self._state if self._states_exposed else None
        if step is not None and not step.fits(params, sizes, changeable):
            self._forget_tensor_step()
            step = None
        if step is None:
            step = self._tensor_step = TensorStep(
                params,
                self._param_names(),
                sizes,
                self._names_of("carried"),
                self._tail,
                self._state_dtype,
                self._state,
                self._norm_group,
            )
            step.step.norm.load(self._skipped_before)
            self._states_exposed = True
        if self._states_exposed:
            step.states.load(self._state, self._names_of("states"), self._step_counts)
            self._states_exposed = False
        self._stepped_groups = list(self.param_groups)
        return step

    def _forget_tensor_step(self) -> None:
        """Save its states and counts; the next step makes another."""
        self.state  # noqa: B018 - saves them
        self._skipped_before = self._skipped()
        self._tensor_step = self._plan = None

    def _params(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _param_names(self) -> list[str]:
        """Return the name of each parameter for error messages: its own, if it was given one."""
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

    def _accepted_rule(self, group: Mapping[str, Any]) -> Rule:
        if group.get("differentiable"):
            raise ValueError(DIFFERENTIABLE)
        return RULES[self._rule(group)]


def _checked_group(group: Any) -> Any:
    """Return a process group, ``"world"`` or None.

    Raises:
        TypeError: it is none of these.
    """
    types = getattr(torch.distributed, "ProcessGroup", ())  # torch may be built without it
    if group is None or isinstance(group, types) or (isinstance(group, str) and group == "world"):
        return group
    raise TypeError(f"norm_group: expected None, 'world' or a process group, got {group!r}")
