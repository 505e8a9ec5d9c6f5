"""Methods and attributes of all optimizers that concern their backends and their tail."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..engine.dispatch import Explanation
from ..engine.stats import TensorStats
from ..engine.step import FusedStep
from ..engine.tail import Tail
from ..errors import NotAvailableError
from ..kernels.float_mode import in_default_mode
from .averages import averages, swap_in
from .whole import OptimizerOption, how_to_set


class TailMethods:
    """The norm, statistics, EMA and backends of an optimizer.

    `Tail` describes the options.
    """

    __slots__ = ()

    clip_norm = OptimizerOption()
    clip_value = OptimizerOption()
    error_if_nonfinite = OptimizerOption()
    skip_nonfinite = OptimizerOption()
    ema_decay = OptimizerOption()
    master_weights = OptimizerOption()
    stochastic_rounding = OptimizerOption()
    kahan_sum = OptimizerOption()
    seed = OptimizerOption()
    min_8bit_size = OptimizerOption()
    zero_grads = OptimizerOption()
    cautious = OptimizerOption()
    cautious_weight_decay = OptimizerOption()
    decouple_lr = OptimizerOption()
    state_dtype = OptimizerOption("_state_dtype")

    _state_dtype: str | None
    _lock: Any
    _swapped: Any
    """Whether the EMA weights are swapped in; subclasses define these attributes."""

    def _locked(self) -> Any:
        """Return a context that only one thread at a time can enter; see `StepLock`."""
        return self._lock

    def _step_taken(self) -> FusedStep:
        """Return the optimizer's fused step."""
        raise NotImplementedError

    def _like_params(self, values: Sequence[Any]) -> Any:
        """Return values, one for each parameter, in the structure of the parameters."""
        raise NotImplementedError

    def _labels(self) -> Sequence[Any]:
        """Return the name or index of each parameter."""
        raise NotImplementedError

    def _fixed(self) -> Container[int]:
        """Return the indices of parameters that must keep their memory, because it has views."""
        return ()

    @property
    def backend(self) -> str:
        """The backends that update the parameters: ``"llvm"``, or several names joined by ``+``."""
        with self._locked():
            return "+".join(self._step_taken().backends)

    def explain(self) -> Explanation:
        """Say which backend updates the parameters, and why the others do not.

        After a step, `Explanation.launched` lists its launches, their parameters, and the bytes
        per element that each moves.

        >>> import gpuopt, numpy as np
        >>> with gpuopt.use_backend("numpy"):
        ...     opt = gpuopt.Adam([np.ones(8, np.float32)], clip_norm=1.0)
        ...     opt.step([np.ones(8, np.float32)])
        ...     print(opt.explain().launched[0])
        numpy on cpu, 1 launch: adam_clip_gradient of 1 array (params[0]), 8 elements,
        32 bytes an element (the norm 4, the update 28)
        """
        with self._locked():
            return self._step_taken().explain()

    @property
    def tail(self) -> Tail:
        """The options of the tail; `change` changes some of them."""
        return self._step_taken().tail

    def change(self, **numbers: float) -> None:
        """Change `clip_norm`, `clip_value`, `ema_decay` or `decouple_lr` from the next step on.

        Raises:
            TypeError, ValueError: the option cannot be changed, is not in use, or does not accept
                the value.

        >>> import numpy as np
        >>> from gpuopt import SGD
        >>> opt = SGD([np.ones(2, np.float32)], lr=0.5, clip_norm=1.0)
        >>> opt.change(clip_norm=0.25)
        >>> opt.tail.clip_norm
        0.25
        """
        with self._locked():
            tail = self.tail
            for name, value in numbers.items():
                tail = tail.changed(name, value)
            self._take_tail(tail)

    def _whole_options(self) -> dict[str, Any]:
        """Return the options of the whole optimizer that are in use, by name."""
        given = {**self.tail.in_use(), "state_dtype": self.state_dtype}
        return {name: value for name, value in given.items() if value is not None}

    def _take_tail(self, tail: Tail) -> None:
        self._step_taken().tail = tail

    @property
    @in_default_mode
    def grad_norm(self) -> float:
        """The 2-norm of all unscaled gradients of the last step, before clipping.

        Needs ``clip_norm`` or ``skip_nonfinite``; synchronizes with a device.
        """
        self._check_tail("grad_norm", "clip_norm or skip_nonfinite", self.tail.measures)
        with self._locked():
            return self._step_taken().norm.norm()

    @property
    def skipped_steps(self) -> int:
        """The number of skipped steps; synchronizes with a device.

        Needs ``skip_nonfinite``, or a drop-in that skips steps itself under GradScaler.
        """
        self._check_tail("skipped_steps", "skip_nonfinite", self._may_skip())
        with self._locked():
            return self._step_taken().norm.skipped()

    def _may_skip(self) -> bool:
        """Whether a step may be skipped."""
        return self.tail.skip_nonfinite

    @property  # not a method: assigning to it, as if it were the option, must fail
    def stats(self) -> Callable[[], dict[Any, TensorStats]]:
        """``stats()`` returns each parameter's statistics at the last step; synchronizes.

        Needs ``stats=True``. After a skipped step, the statistics of the gradients are those of the
        step that ``skip_nonfinite`` skipped.

        >>> import numpy as np
        >>> from gpuopt import SGD
        >>> w, g = np.ones(4, np.float32), np.ones(4, np.float32)
        >>> opt = SGD({"w": w}, lr=0.5, stats=True)
        >>> opt.step({"w": g})
        >>> opt.stats()["w"][:4]
        (2.0, 1.0, 0, 1.0)
        """
        return self._stats

    @stats.setter
    def stats(self, value: Any) -> None:
        raise AttributeError(how_to_set("stats"))

    @in_default_mode
    def _stats(self) -> dict[Any, TensorStats]:
        self._check_tail("stats", "stats=True", self.tail.stats)
        with self._locked():
            return dict(zip(self._labels(), self._step_taken().stats()))

    @property
    def ema(self) -> Any:
        """The EMA of the weights, in the structure of the parameters; not copies.

        For a parameter that has not been updated yet, this is the parameter itself. Needs
        ``ema_decay``. Not available inside `ema_weights`, where the parameters have these values.
        """
        self._check_tail("ema", "ema_decay", self.tail.ema_decay is not None)
        with self._locked():
            self._check_not_swapped("ema")
            step = self._step_taken()
            return self._like_params(averages(step.params, step.expose_states()))

    @contextmanager
    def ema_weights(self) -> Iterator[None]:
        """Return a context in which the parameters have the values of their EMA, for evaluation.

        torch tensors swap memory with their EMA, without a copy; DTensors and other arrays swap
        elements. Inside, the optimizer does not step, save or load: it raises NotAvailableError.

        Raises:
            NotAvailableError: ``ema_decay`` is not in use, or the weights are swapped already.
            ValueError: a parameter has become read-only; nothing has been changed.

        >>> import numpy as np
        >>> from gpuopt import SGD
        >>> w = np.zeros(1, np.float32)
        >>> opt = SGD([w], lr=1.0, ema_decay=0.5)
        >>> opt.step([np.full(1, -1.0, np.float32)])
        >>> with opt.ema_weights():
        ...     print(w)
        [0.5]
        >>> w
        array([1.], dtype=float32)
        """
        self._check_tail("ema_weights", "ema_decay", self.tail.ema_decay is not None)
        with self._locked():
            self._check_not_swapped("ema_weights")
            step = self._step_taken()
            step.gradients.parameters.check_writable()
            averaged = swap_in(step.params, step.expose_states(), self._fixed())
            self._swapped = True
        try:
            yield  # without the lock: other threads get an error, and do not wait
        finally:
            with self._locked():
                self._swapped = False
                averaged.close()

    def _check_tail(self, what: str, wanted: str, there: bool) -> None:
        if not there:
            raise NotAvailableError(f"{what}: {type(self).__name__} was made without {wanted}")

    def _check_not_swapped(self, what: str) -> None:
        if self._swapped:
            raise NotAvailableError(
                f"{what}: not inside ema_weights(), where the weights are averages: "
                "leave the block first"
            )
