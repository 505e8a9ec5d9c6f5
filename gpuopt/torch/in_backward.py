"""Optimizer steps inside the backward pass: each gradient is used and freed once it is ready."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import torch

from ..engine.dispatch import Explanation
from ..engine.explanation import together
from ..optimizers.passes import MODE
from .accumulation import EXACT, Accumulation
from .fused import Fused
from .in_backward_checks import check_moments, check_no_ddp, checked_groups, checked_optimizer
from .in_backward_dicts import OF_GROUPS, merged, parts_of
from .passes import PASSES
from .state_dict_checks import check_state_dict


class StepInBackward(torch.optim.Optimizer):
    r"""Updates each parameter as soon as its gradient is complete, and frees the gradient.

    Only a few gradients are in memory at a time, and ``loss.backward()`` is the whole step. In all
    other respects it is an optimizer: schedulers, checkpoints and frameworks accept it, its groups
    are those of ``params``, and its state dict is interchangeable with that of ``optimizer`` over
    all parameters. `step` and `zero_grad` have nothing left to do. Clipping by the norm of all
    gradients and GradScaler are not supported. A frozen parameter is updated as soon as it requires
    gradients again. Copies and pickles hook the parameters that are copied with them. It has the
    optimizer's ``train`` and ``eval``, and its ``update_hessian`` for gradients kept by
    ``accumulating``.

    It works on the shards of FSDP2: shard the model first. It rejects DistributedDataParallel,
    which keeps all gradients until the backward pass ends.

    Over several micro-batches, with the accumulated gradients :math:`g_1, \dots, g_N`,

    .. math::
        \text{exact:} \quad g = g_1 + \dots + g_N, \qquad
        \text{moments:} \quad m_k = \beta_1 m_{k-1} + (1-\beta_1) g_k, \quad
        v_k = \beta_2 v_{k-1} + (1-\beta_2) g_k^2,

    and the parameter changes with the last one. ``"exact"`` is gradient accumulation, and keeps the
    gradients in between. ``"moments"`` keeps none: each gradient is added to the states and freed,
    and counts as a step in their bias corrections, as in optimi's optimizer accumulation. It uses
    the average of the gradients, not their sum: do not divide its losses by N.

    Args:
        params: the parameters, or groups as dicts, as for any optimizer.
        optimizer: called with a list of groups, returns an optimizer, such as `gpuopt.torch.Adam`.
        accumulation: ``"exact"`` or ``"moments"``: what the backward passes before the last of a
            batch do. ``"moments"`` needs a drop-in whose states are averages of gradients.
        accumulation_steps: the number of backward passes in a batch, at least 1. Leave it at 1
            with Accelerate and Hugging Face's Trainer, which announce the last one. A backward
            pass in the closure of `step` is always the last. If a parameter may lack a gradient in
            some passes, call `step` at the end of a batch.
        options: options of the optimizer; not ``clip_norm`` or ``skip_nonfinite``.

    Attributes:
        optimizers: one for each parameter, in order; each has the options of its parameter's group.
        accumulating: whether backward passes only accumulate; None, the default, lets
            ``accumulation_steps`` and the framework decide.

    Raises:
        TypeError: ``optimizer`` is not callable, or does not return an optimizer; or ``params`` is
            a tensor.
        ValueError: a parameter is given twice, or an option or ``accumulation`` cannot be used.
        RuntimeError: a parameter belongs to a DistributedDataParallel, or to FSDP1.

    >>> from gpuopt.torch import SGD
    >>> w = torch.ones(2, requires_grad=True)
    >>> with StepInBackward([w], SGD, lr=0.25):
    ...     (w * w).sum().backward()
    >>> w.tolist(), w.grad
    ([0.5, 0.5], None)
    """

    def __init__(
        self,
        params: Iterable[Any],
        optimizer: Callable[..., torch.optim.Optimizer],
        *,
        accumulation: str = EXACT,
        accumulation_steps: int = 1,
        **options: Any,
    ) -> None:
        """Make an optimizer for each parameter, and hook them."""
        self._accumulation = Accumulation(accumulation, accumulation_steps)
        whole = checked_optimizer(optimizer, checked_groups(params), options)
        if accumulation != EXACT:
            check_moments(whole)
        self.optimizers: list[torch.optim.Optimizer] = []
        self._group_of: list[int] = []
        self._hooks: list[Any] = []
        self._hooked = False
        self._make: Any = lambda groups: optimizer(groups, **options)
        self._checked = False
        # GradScaler then calls `step`, which can reject it.
        self._step_supports_amp_scaling = True
        super().__init__(whole.param_groups, whole.defaults)
        check_no_ddp(self._params())
        self._hooks, self._hooked = self._hook(self.optimizers), True

    # --- groups -----------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as torch does, and hook its parameters.

        Raises:
            TypeError, ValueError: as the optimizer's own; nothing has been changed.
            RuntimeError: this is a copy, which does not know how its optimizers were made.
        """
        if self._make is None:
            raise RuntimeError("add_param_group: only the original can make further optimizers")
        super().add_param_group(param_group)
        try:
            own = self._made_for(self.param_groups[-1])
        except BaseException:
            self.param_groups.pop()
            raise
        self.optimizers += own
        self._group_of += [len(self.param_groups) - 1] * len(own)
        if self._hooked:  # not in the constructor
            self._hooks += self._hook(own)

    def _made_for(self, group: dict[str, Any]) -> list[torch.optim.Optimizer]:
        """Return an optimizer for each parameter of a group."""
        options = {name: value for name, value in group.items() if name not in OF_GROUPS}
        params = group["params"]
        given = list(zip(group["param_names"], params)) if "param_names" in group else params
        made = [self._make([{**options, "params": [each]}]) for each in given]
        for i, one in enumerate(made, len(self.optimizers)):
            _take_seed(i, one)
        return made

    def _params(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _check_params(self) -> None:
        params = list(map(_param_of, self.optimizers))
        if len(params) != len(self._params()) or any(
            p is not q for p, q in zip(params, self._params())
        ):
            raise RuntimeError(
                "param_groups: the parameters are others than StepInBackward was made with, which "
                "it has hooked; make it after the model was sharded or moved"
            )

    def _follow(self, i: int) -> torch.optim.Optimizer:
        """Return the optimizer of a parameter, updated with its group's current options."""
        one, group = self.optimizers[i], self.param_groups[self._group_of[i]]
        own, kept = one.param_groups[0], (*OF_GROUPS, MODE)  # its own mode is that of its parameter
        own.update((name, value) for name, value in group.items() if name not in kept)
        return one

    # --- what drop-ins do outside of steps --------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """Return ``train``, ``eval`` or ``update_hessian``, if the optimizers have it."""
        own = vars(self).get("optimizers")
        if name in PASSES and own and all(hasattr(one, name) for one in own):
            return partial(self._run_pass, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _run_pass(self, name: str) -> None:
        for i in range(len(self.optimizers)):
            getattr(self._follow(i), name)()
        for i, one in zip(self._group_of, self.optimizers):
            own = one.param_groups[0]
            self.param_groups[i].update({MODE: own[MODE]} if MODE in own else {})

    # --- steps ------------------------------------------------------------------------------------

    @property
    def accumulating(self) -> bool | None:
        """Whether backward passes only accumulate; None: the count and the framework decide."""
        return self._accumulation.asked

    @accumulating.setter
    def accumulating(self, value: bool | None) -> None:
        self._accumulation.ask(value)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update parameters that still have a gradient; usually none after a backward pass.

        This uses the gradients of a batch that ended early, and all gradients after `remove`.

        Args:
            closure: evaluates the model again and returns the loss; a backward pass in it updates
                the parameters.

        Raises:
            RuntimeError: a GradScaler calls it; its parameters were replaced; or backward passes
                both before it and in its closure have updated them.
        """
        if hasattr(self, "grad_scale"):
            del self.grad_scale, self.found_inf  # GradScaler removes them only after a step
            raise RuntimeError(
                "GradScaler: the gradients that it would unscale have been used in the backward "
                "pass already; train in bfloat16, or with the optimizer itself"
            )
        self._check_params()
        loss = None
        with self._accumulation.in_step():
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
        if not self.accumulating:
            self._step_rest()
        return loss

    def _step_rest(self) -> None:
        for i, one in enumerate(self.optimizers):
            param = _param_of(one)
            if param.grad is not None:
                self._follow(i).step()
                if self._hooked:
                    _free(param)
        self._accumulation.counts.clear()

    def _take(self, i: int, param: torch.Tensor) -> None:
        """Use the complete gradient of a parameter."""
        if not self._checked:
            check_no_ddp(self._params())
            self._checked = True
        waits = self._accumulation.waits(i)
        if waits and self._accumulation.kind == EXACT:
            return
        one = self._follow(i)
        if waits:
            held = param.detach().clone()
            one.step()
            with torch.no_grad():
                param.copy_(held)
        else:
            one.step()
        self._opt_called = True  # for schedulers, which expect a step before theirs
        _free(param)

    # --- introspection ----------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """The backends that update the parameters: ``"llvm"``, or several names joined by ``+``."""
        found = [name for one in self._drop_ins().values() for name in one.backend.split("+")]
        return "+".join(dict.fromkeys(found))

    def explain(self) -> Explanation:
        """Say which backend updates the parameters and why, as a drop-in's `explain` does.

        Raises:
            TypeError: the optimizers are torch's.
        """
        told = {i: one.explain() for i, one in self._drop_ins().items()}
        chosen = {device: name for each in told.values() for device, name in each.chosen.items()}
        reasons = {device: why for each in told.values() for device, why in each.reasons.items()}
        names = [
            name
            for group in self.param_groups
            for name in group.get("param_names", [None] * len(group["params"]))
        ]
        found = [
            replace(own, arrays=(names[i] or f"params[{i}]",))
            for i, each in told.items()
            for own in each.launched
        ]
        return Explanation(chosen, reasons, together(found))

    def _drop_ins(self) -> dict[int, Fused]:
        """Return the drop-in of each parameter.

        Raises:
            TypeError: the optimizer is torch's.
        """
        for one in self.optimizers:
            if not isinstance(one, Fused):
                raise TypeError(f"{type(one).__name__}: of torch, which has one backend")
        return {i: one for i, one in enumerate(self.optimizers) if isinstance(one, Fused)}

    # --- hooks ------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Remove the hooks: backward passes keep gradients again, and `step` uses them."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._hooked = [], False

    def __enter__(self) -> StepInBackward:
        """Return this object; its hooks are removed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the hooks."""
        self.remove()

    def _hook(self, optimizers: Sequence[torch.optim.Optimizer]) -> list[Any]:
        """Hook the last optimizers to their parameters."""
        first = len(self.optimizers) - len(optimizers)
        return [
            hook
            for i, one in enumerate(optimizers, first)
            for hook in _hooked_to(_param_of(one), partial(self._take, i))
        ]

    # --- states and copies ------------------------------------------------------------------------

    @property
    # torch has a plain attribute here, of one optimizer
    def state(self) -> defaultdict[torch.Tensor, Any]:  # type: ignore[override]
        """The states of each parameter, by torch's names; waits for devices."""
        found: defaultdict[torch.Tensor, Any] = defaultdict(dict)
        for one in self.optimizers:
            found.update(one.state)
        return found

    @state.setter
    def state(self, state: Mapping[torch.Tensor, Any]) -> None:
        for one in self.optimizers:
            param = _param_of(one)
            one.state = defaultdict(dict, {param: state[param]} if param in state else {})

    def state_dict(self, *, decoded: bool = True) -> dict[str, Any]:
        """Return the state dict of one optimizer over all parameters, as torch's are.

        Args:
            decoded: as in the drop-ins' `state_dict`.
        """
        saved: dict[str, Any] = super().state_dict()
        return saved if decoded else merged(saved, list(map(_coded, self.optimizers)))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state dict from `state_dict`, or from one optimizer over all parameters.

        Raises:
            TypeError, ValueError: it is not a state dict, or of other groups or parameters;
                nothing has been changed.
        """
        saved: Any = state_dict
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            saved = hook(self, saved) or saved
        parts = parts_of(saved, self.param_groups)
        for one, own in zip(self.optimizers, parts):
            if isinstance(one, Fused) and not one._optimizer_load_state_dict_pre_hooks:
                check_state_dict(one, own)
        for one, own in zip(self.optimizers, parts):
            one.load_state_dict(own)
        for group, theirs in zip(self.param_groups, deepcopy(saved["param_groups"])):
            group.update((n, value) for n, value in theirs.items() if n not in OF_GROUPS)
        self._accumulation.counts.clear()
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the content of pickles and deep copies."""
        return {name: getattr(self, name) for name in _PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hook the copied optimizers to their parameters, if the originals were hooked."""
        super().__setstate__({**state, "_hooks": [], "_make": None, "_checked": False})
        if self._hooked:
            self._hooks = self._hook(self.optimizers)


_PICKLED = (
    "optimizers",
    "param_groups",
    "defaults",
    "_group_of",
    "_hooked",
    "_accumulation",
    "_step_supports_amp_scaling",
)
"""The attributes in pickles and copies."""


def _param_of(one: torch.optim.Optimizer) -> torch.Tensor:
    param: torch.Tensor = one.param_groups[0]["params"][0]
    return param


def _coded(one: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the state dict of an optimizer; a drop-in's has codes."""
    return one.state_dict(decoded=False) if isinstance(one, Fused) else one.state_dict()


def _take_seed(i: int, one: torch.optim.Optimizer) -> None:
    """Give an optimizer its own seed: with one parameter each, all would round alike.

    This is done whatever the options are, since a checkpoint may have 16-bit states.
    """
    if isinstance(one, Fused):
        tail = one.tail
        one._tail = one._tail_at_first = replace(tail, seed=(tail.seed + i) % 2**32)


def _hooked_to(param: torch.Tensor, take: Callable[[torch.Tensor], None]) -> list[Any]:
    """Return the hook on a parameter; None if it cannot have a gradient."""
    if not (param.is_floating_point() or param.is_complex()):
        return []
    frozen = not param.requires_grad
    try:
        param.requires_grad_(True)  # torch refuses to hook a frozen one
        return [param.register_post_accumulate_grad_hook(take)]
    finally:
        param.requires_grad_(not frozen)


def _free(param: torch.Tensor) -> None:
    param.grad = None
