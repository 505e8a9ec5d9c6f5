"""The base class of the drop-ins, whose ``step`` is one fused pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch

from ..engine.parameters import ParameterMovedError
from ..engine.step import FusedStep
from ..engine.tail import OPTIONS, Tail, tail_of
from ..kernels.float_mode import in_default_mode
from ..optimizers.options import checked_state_dtype
from ..optimizers.passes import MODE, check_mode
from ..rules.definitions import Definition
from ..rules.registry import Rule
from .arguments import check_arguments, check_numbers, own_parameters
from .grad_scaler import GradScalerSupport
from .group_options import check_group, torch_ranges
from .group_plan import PlannedParamGroups
from .hooks import StepHooks
from .inference_mode import ordinary
from .param_groups import DIFFERENTIABLE
from .serialization import Serializable
from .shared_attributes import SHARED, Shared, new_shared
from .tensor_step import GRAD, TensorStep


class Fused(Serializable, StepHooks, GradScalerSupport, PlannedParamGroups):
    """The base class that a drop-in lists before torch.optim's class, to replace its step.

    Options, their checks, schedulers, hooks and state dicts stay torch's. Reading ``state`` updates
    it from the fused step; the next step reloads it, since the reader may have changed it.
    """

    _added_flags: ClassVar[Mapping[str, Any]] = {}
    """The flags that saved groups may lack, if no class of torch adds them."""

    # Pickles and deep copies contain only those attributes that `__getstate__` names.
    _tensor_step = Shared()
    _swapped = Shared(False)
    _skipped_before = Shared(0)
    """The number of skipped steps that `_tensor_step` has not counted itself."""
    _step_counts = Shared()
    """The exact counts behind the step tensors in ``state``."""
    _state = Shared()
    _coded = Shared(MappingProxyType({}))
    """The states of parameters that were loaded as codes, until a step has them."""
    _packed = Shared()
    """The content of ``state`` while a state dict of codes is made."""
    _states_exposed = Shared()
    """Whether ``state`` may have been changed since the last step."""
    _stepped_groups = Shared(())
    """The groups of the last step; ``param_groups`` may have changed since."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of torch's class, those of `gpuopt.Tail`, and two more.

        ``state_dtype``: the dtype of new states, one of ``"float64"``, ``"float32"``,
        ``"float16"``, ``"bfloat16"`` and ``"8bit"``; None means float32 (float64 for float64
        parameters). Rounding to 16 and 8 bits is stochastic. ``state`` and state dicts have 8-bit
        states as float32 values or, with ``state_dict(decoded=False)``, as codes; both are loaded
        without loss.

        ``norm_group``: a process group, or ``"world"``, whose processes each hold different plain
        parameters of one model, as under ZeroRedundancyOptimizer: the norm and ``skip_nonfinite``
        then cover all of them, and all must step. DTensors know their groups.
        """
        self.__dict__.setdefault(SHARED, new_shared())
        self._norm_group = _checked_group(options.pop("norm_group", None))
        self._state_dtype = checked_state_dtype(options.pop("state_dtype", None))
        own = {name: options.pop(name) for name in OPTIONS if name in options}
        tail = tail_of(**own)
        self._tail = self._tail_at_first = tail
        check_arguments(self, super().__init__, args, options)
        with ordinary():
            super().__init__(*args, **options)
        if self.defaults.get("fused") or self._runs_when_skipped():
            self._step_supports_amp_scaling = True

    def __init_subclass__(cls) -> None:
        """Set the signature to the class's own constructor's, or to torch's with our options."""
        super().__init_subclass__()
        theirs = cls.__init__ is Fused.__init__
        known = inspect.signature(super().__init__ if theirs else cls.__init__)
        given = list(known.parameters.values())[1:]
        maker = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if theirs or isinstance(vars(maker).get("_definition"), Definition):
            given = [*(p for p in given if p.kind is not p.VAR_KEYWORD), *own_parameters()]
        cls.__signature__ = known.replace(parameters=given)  # type: ignore[attr-defined]

    def _begin(self, params: Any, options: dict[str, Any], more: Mapping[str, Any]) -> None:
        """Construct an optimizer that torch.optim does not have, after checking its options."""
        check_numbers(self._definition, options)
        lr = options.get("lr")
        if isinstance(lr, torch.Tensor) and lr.numel() != 1:
            raise ValueError(f"lr: expected a number or a tensor of one float, got {lr!r:.80}")
        check_group(None, options, options, torch_ranges(self._definition), ())
        Fused.__init__(self, params, options, **more)

    # --- required by `TailMethods` -------------------------------------------------------------

    def _step_taken(self) -> FusedStep:
        with self._locked():
            return self._tensor_step_for(self._params()).step

    def _may_skip(self) -> bool:
        return super()._may_skip() or bool(self._step_supports_amp_scaling)

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

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in one pass.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            RuntimeError: a gradient is sparse; nothing has been changed.
            TypeError, ValueError: a tensor or an option is not accepted; nothing has been changed.
            NotAvailableError: inside `ema_weights`.
        """
        loss = None
        check_mode(self, self.param_groups)
        if closure is not None:
            self._check_not_swapped("step")
            with torch.enable_grad():
                loss = closure()
        with self._locked():
            self._check_not_swapped("step")
            self._update()
        return loss

    def _locked(self) -> Any:
        """Return a context for one thread at a time, outside of `torch.inference_mode`.

        A step may replace tables that a step in another thread still uses.
        """
        return ordinary(getattr(self, SHARED)["lock"])

    @in_default_mode
    def _update(self) -> None:
        params = self._params()
        if self.param_groups:
            grads = list(map(GRAD, params))
            self._again_if_moved(self._run, params, grads)

    def _again_if_moved(
        self,
        run: Callable[..., None],
        params: Sequence[torch.Tensor],
        grads: Sequence[torch.Tensor | None],
    ) -> None:
        """Call ``run(params, grads)``; retry once with new tables if parameters have moved."""
        try:
            run(params, grads)
        except ParameterMovedError:  # to another device, say: move the states, too
            self._forget_tensor_step()
            run(params, grads)
        except TypeError:
            if any(g is not None and g.layout is not torch.strided for g in grads):
                name = type(self).__name__
                raise RuntimeError(f"{name} does not support sparse gradients") from None
            step: TensorStep | None = self._tensor_step
            if step is None or not step.any_became_complex_or_real(params):
                raise
            self._forget_tensor_step()
            run(params, grads)

    def _run(self, params: Sequence[torch.Tensor], grads: Sequence[torch.Tensor | None]) -> None:
        groups = self._groups()
        step = self._tensor_step_for(params)
        step.run(grads, groups, self._found_inf())
        step.states.drop_decoded(self._state)

    def _run_pass(
        self,
        name: str,
        grads: Sequence[torch.Tensor | None] | None,
        among: Sequence[int] = (),
    ) -> None:
        """Run a pass of the rules: over ``grads``, or over the states of the groups ``among``."""

        def run(params: Sequence[torch.Tensor], _: Any) -> None:
            groups = self._groups()
            step = self._tensor_step_for(params)
            step.run_pass(name, groups, grads, among)
            step.states.drop_decoded(self._state)

        self._again_if_moved(run, self._params(), grads or ())

    def _set_mode(self, groups: Sequence[dict[str, Any]], on: bool) -> None:
        for group in groups:
            group[MODE] = on

    def _tensor_step_for(self, params: Sequence[torch.Tensor]) -> TensorStep:
        """Return the step of these parameters, with the states in ``state`` loaded."""
        sizes = [len(group["params"]) for group in self.param_groups]
        step: TensorStep | None = self._tensor_step
        exposed = self._states_exposed
        changeable = self._held_states() if exposed else None
        if step is not None and not step.fits(params, sizes, changeable):
            self._forget_tensor_step()
            step = None
        if step is None:
            step = self._tensor_step = TensorStep(
                params,
                self._param_names(),
                sizes,
                self._carried_names(),
                self._tail,
                self._held_states(),
                self._norm_group,
                self._definition.constant_names,
                bool(self._definition.shared),
            )
            step.step.norm.load(self._skipped_before)
            exposed = self._states_exposed = True
        if exposed:
            dtypes = self._state_dtypes()
            own = self._state, self._state_names(), self._step_counts
            step.states.load(*own, dtypes, self._coded)
            self._states_exposed, self._coded = False, MappingProxyType({})
        self._stepped_groups = list(self.param_groups)
        return step

    def _held_states(self) -> dict[torch.Tensor, Any]:
        """Return the states of each parameter, with those that were loaded as codes."""
        held: dict[torch.Tensor, Any] = self._state
        return {**held, **self._coded} if self._coded else held

    def _forget_tensor_step(self) -> None:
        """Save its states and counts; the next step makes another."""
        if not self._states_exposed:
            self.state  # noqa: B018 - saves them
        self._skipped_before = self._skipped()
        self._tensor_step = self._plan = None

    def _accepted_rule(self, group: Mapping[str, Any]) -> Rule:
        if group.get("differentiable"):
            raise ValueError(DIFFERENTIABLE)
        return self._rule_for(group)


def _checked_group(group: Any) -> Any:
    """Return a process group, ``"world"`` or None.

    Raises:
        TypeError: it is none of these.
    """
    types = getattr(torch.distributed, "ProcessGroup", ())  # torch may be built without it
    if group is None or isinstance(group, types) or (isinstance(group, str) and group == "world"):
        return group
    raise TypeError(f"norm_group: expected None, 'world' or a process group, got {group!r}")
