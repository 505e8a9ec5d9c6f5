"""The tail of a training step: what it does besides the update, in the same pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from ..messages.suggest import did_you_mean
from ..rules.ranges import NOT_NEGATIVE, POSITIVE, UP_TO_ONE, boolean


@dataclass(frozen=True)
class Tail:
    r"""The options of a step besides its update, all applied in the same pass over memory.

    Attributes:
        clip_norm: the largest 2-norm of all gradients together, at least 0. They are scaled by
            :math:`\min(1, clip\_norm / (norm + 10^{-6}))`, as by torch.nn.utils.clip_grad_norm_,
            but not rewritten: the update applies the factor. Costs one more read of them.
        clip_value: the largest absolute value of an element of a gradient, above 0; applied after
            `clip_norm`.
        error_if_nonfinite: raise RuntimeError if the norm is infinite or NaN, before anything
            changes; synchronizes with a device. Needs `clip_norm`.
        skip_nonfinite: skip a step whose gradients contain an infinity or NaN: nothing changes.
        ema_decay: keep an average of the weights, :math:`e = d e + (1-d) p`, d in [0, 1]. It
            starts as a copy of the weights at their first step (even if that is skipped; so do
            masters), and does not change while a parameter has no gradient.
        master_weights: keep float32 weights beside float16 and bfloat16 parameters; or, for
            bfloat16 parameters, only the bits lost by rounding: ``"split16"`` in 16 bits without
            loss, ``"split8"`` in 8 bits.
        stochastic_rounding: round bfloat16 parameters up or down at random, unbiased.
        kahan_sum: keep the rounding errors of float16 and bfloat16 parameters, and add them in the
            next step.
        seed: the seed of `stochastic_rounding` and of the rounding of 16-bit states; an integer in
            [0, 2**32).
        min_8bit_size: the minimum number of elements for ``state_dtype="8bit"``; a smaller tensor
            has float32 states.
        stats: keep norms, largest values and counts of nonfinite elements of each tensor.
        zero_grads: write zeros into the gradients, also in a skipped step.
        cautious: update only elements whose update has the sign of their gradient (Liang et al.,
            2024), without their scaling by the share of such elements.
        cautious_weight_decay: let decoupled decay shrink only elements that the update moves
            towards zero, or not at all (Chen et al., 2025).
        decouple_lr: the largest learning rate of the schedule, above 0: decoupled decay then
            shrinks p by ``weight_decay * lr / decouple_lr``, so that weight_decay need not change
            with the learning rate (Loshchilov and Hutter, 2019; torch-optimi's ``max_lr``).
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    error_if_nonfinite: bool = False
    skip_nonfinite: bool = False
    ema_decay: float | None = None
    master_weights: bool | str = False
    stochastic_rounding: bool = False
    kahan_sum: bool = False
    seed: int = 0
    min_8bit_size: int = 4096
    stats: bool = False
    zero_grads: bool = False
    cautious: bool = False
    cautious_weight_decay: bool = False
    decouple_lr: float | None = None

    @property
    def measures(self) -> bool:
        """Whether all gradients are read before any element changes."""
        return self.clip_norm is not None or self.skip_nonfinite

    @property
    def narrow(self) -> str:
        """How rounding errors of 16-bit parameters are kept: a key of `low_precision.NARROW`."""
        chosen = [name for name in _NARROW if getattr(self, name)]
        sees_what_is_stored = self.ema_decay is not None or self.stats
        if isinstance(self.master_weights, str):
            return self.master_weights
        return chosen[0] if chosen else "rounded" if sees_what_is_stored else ""

    def in_use(self) -> dict[str, Any]:
        """Return the options in use by name, and the seed if one of them rounds.

        >>> Tail(clip_norm=0.0, stochastic_rounding=True).in_use()
        {'clip_norm': 0.0, 'stochastic_rounding': True, 'seed': 0}
        """
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        if not (self.seed or self.stochastic_rounding):
            del options["seed"]
        if self.min_8bit_size == Tail.min_8bit_size:
            del options["min_8bit_size"]
        return {name: v for name, v in options.items() if v is not None and v is not False}

    def numbers(self) -> dict[str, float]:
        """Return the options that coefficients depend on."""
        given = {name: getattr(self, name) for name in CHANGEABLE}
        numbers = {name: float(value) for name, value in given.items() if value is not None}
        return {**numbers, "seed": float(self.seed), "sum_of_squares": 0.0}

    def changed(self, name: str, value: Any) -> Tail:
        """Return a tail with a new value for an option that is in use.

        Raises:
            TypeError, ValueError: the option is not in use, or does not accept the value.
        """
        if name not in CHANGEABLE:
            hint = did_you_mean(name, CHANGEABLE) or "; options of a group are set in param_groups"
            raise ValueError(f"change: expected one of {', '.join(CHANGEABLE)}, got {name!r}{hint}")
        if getattr(self, name) is None:
            raise ValueError(
                f"{name}: the optimizer was made without it, which cannot be changed, got {value!r}"
            )
        if value is None:
            raise ValueError(f"{name}: expected a number, since it cannot be turned off, got None")
        return replace(self, **{name: _CHECKS[name](name, value)})


OPTIONS = tuple(field.name for field in fields(Tail))
"""The keyword arguments of the tail, which every optimizer takes."""

CHANGEABLE = ("clip_norm", "clip_value", "ema_decay", "decouple_lr")
"""The options that `Tail.changed` accepts."""

SPLITS = ("split16", "split8")
"""The values of ``master_weights`` besides True and False."""

_NARROW = ("master_weights", "stochastic_rounding", "kahan_sum")


def tail_of(**options: Any) -> Tail:
    """Check the keyword arguments of an optimizer.

    Raises:
        TypeError, ValueError: one is unknown or not accepted, by name, or two exclude each other.

    >>> tail_of(clip_norm=-1.0)
    Traceback (most recent call last):
        ...
    ValueError: clip_norm: expected None or a number of at least 0, got -1.0
    """
    unknown = [name for name in options if name not in _CHECKS]
    if unknown:
        raise TypeError(f"unknown option {unknown[0]!r}: expected one of {', '.join(_CHECKS)}")
    tail = Tail(**{name: _CHECKS[name](name, value) for name, value in options.items()})
    chosen = [name for name in _NARROW if getattr(tail, name)]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)}: expected one of them at most")
    if tail.error_if_nonfinite and tail.clip_norm is None:
        raise ValueError("error_if_nonfinite: expected clip_norm beside it, got none")
    return tail


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an integer in [0, 2**32), got {value!r}")
    if not 0 <= int(value) < 2**32:
        raise ValueError(f"{name}: expected an integer in [0, 2**32), got {value!r}")
    return int(value)


def _masters(name: str, value: Any) -> bool | str:
    if value is True or value is False or (isinstance(value, str) and value in SPLITS):
        return value
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"{name}: expected True, False, 'split16' or 'split8', got {value!r}")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **{field.name: boolean for field in fields(Tail)},
    "clip_norm": NOT_NEGATIVE.or_none,
    "clip_value": POSITIVE.or_none,
    "ema_decay": UP_TO_ONE.or_none,
    "decouple_lr": POSITIVE.or_none,
    "master_weights": _masters,
    "seed": _integer,
    "min_8bit_size": _integer,
}
