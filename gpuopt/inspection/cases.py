"""The kernels to inspect: a rule, its variant, the dtypes of its lists, an architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..engine.compose import Update, within
from ..engine.low_precision import BITS_16
from ..engine.measure import MEASURE, Measure
from ..engine.sums import Sums
from ..engine.tail import Tail
from ..kernels.storage import STORAGE, compute_dtype
from ..rules.formats import IN_8_BITS
from ..rules.registry import RULES, Rule, Stage
from ..rules.stages import SCALE_GRADIENT, decay_of
from ..rules.tail import CLIP_GRADIENT
from .spelling import dtype_of

ARCHS = (75, 80, 86, 89, 90, 100, 120)
"""The architectures, as in sm_90."""

DTYPES = ("float32", "bfloat16", "float64")
"""The default dtypes: with ``--check`` all of them, else the first."""


def _decay(rule: Rule) -> tuple[Stage, ...]:
    return () if rule.decays else (decay_of(rule),)


VARIANTS: dict[str, Callable[[Rule], tuple[Stage, ...]]] = {
    "plain": lambda rule: (),
    "decay": _decay,
    "scale": lambda rule: (SCALE_GRADIENT,),
    "scale_decay": lambda rule: (SCALE_GRADIENT, *_decay(rule)),
    "misaligned": lambda rule: (),
    "clip_ema": lambda rule: (CLIP_GRADIENT,),
    "master": lambda rule: (CLIP_GRADIENT,),
    "split16": lambda rule: (CLIP_GRADIENT,),
    "split8": lambda rule: (CLIP_GRADIENT,),
    "rounding": lambda rule: (),
    "kahan": lambda rule: (),
    "zero_grads": lambda rule: (),
    "stats": lambda rule: (),
    "whole": lambda rule: (CLIP_GRADIENT,),
    "measure": lambda rule: (),
    "sums": lambda rule: (),
}
"""The stages before a rule: weight decay, and the factor of maximize, unscaling and clipping.
``misaligned`` is the plain rule for arrays that are not aligned to 16 bytes. The others have a
tail of `TAILS`; ``measure`` is the pass that computes the norm, independent of the rule, and
``sums`` the one that finds the sums of a rule that has some."""

TAILS = {
    "clip_ema": Tail(clip_norm=1.0, ema_decay=0.999),
    "master": Tail(clip_norm=1.0, ema_decay=0.999, master_weights=True),
    "split16": Tail(clip_norm=1.0, master_weights="split16"),
    "split8": Tail(clip_norm=1.0, master_weights="split8"),
    "rounding": Tail(stochastic_rounding=True),
    "kahan": Tail(kahan_sum=True),
    "zero_grads": Tail(zero_grads=True),
    "stats": Tail(stats=True),
    "whole": Tail(clip_norm=1.0, ema_decay=0.999, master_weights=True, stats=True, zero_grads=True),
}
"""The tail of each variant that has one."""


@dataclass(frozen=True, order=True)
class Case:
    """One kernel to compile.

    Attributes:
        backend: its backend.
        kernel: ``"update"``, or ``"coefficients"`` for the small kernel that runs before it.
        rule: name of a rule.
        variant: one of `VARIANTS`.
        dtypes: of the parameters, the gradients and the states.
        arch: one of `ARCHS`; 0 for the CPU.
    """

    backend: str
    kernel: str
    rule: str
    variant: str
    dtypes: tuple[str, str, str]
    arch: int

    @property
    def update(self) -> Update:
        """The compiled function, except for variants ``measure`` and ``sums``."""
        rule = RULES[self.rule]
        whole = within(rule, self.tail, VARIANTS[self.variant](rule))
        update = whole.for_params(self.dtypes[0])
        return update.for_states(self._states_of(update))

    def _states_of(self, update: Update) -> dict[str, str]:
        return update.stored_states(self.dtypes[0], self.dtypes[2])

    @property
    def walked(self) -> Update | Measure | Sums:
        """The function applied to the elements: the update, or a pass in front of it."""
        return MEASURE if self.variant == "measure" else self._walked

    @property
    def _walked(self) -> Update | Sums:
        update = self.update
        return update.in_front[0] if self.variant == "sums" and update.in_front else update

    @property
    def measures(self) -> bool:
        """Whether it is a pass in front of the update, which writes nothing."""
        return self.variant in ("measure", "sums")

    @property
    def tail(self) -> Tail:
        """What its step does besides the update."""
        return TAILS.get(self.variant, Tail())

    @property
    def reduces(self) -> bool:
        """Whether the threads of a block reduce partials."""
        return bool(self.walked.watched_names)

    @property
    def blocked(self) -> bool:
        """Whether blocks of its states' elements share a scale."""
        return bool(self.walked.blocked)

    @property
    def list_dtypes(self) -> tuple[str, ...]:
        """The dtype of each list of the update."""
        param, grad, _ = self.dtypes
        if self.variant == "measure":
            return param, grad
        update = self.update
        return param, grad, *update.dtypes_of_lists(self._states_of(update))

    @property
    def floor(self) -> float:
        """The minimum bytes per element."""
        if self.variant == "measure":
            return STORAGE[self.dtypes[1]].itemsize
        return self._walked.bytes_per_element(self.list_dtypes)

    @property
    def vectors(self) -> bool:
        """Whether the arrays are aligned to 16 bytes."""
        return self.variant != "misaligned"

    @property
    def coefficients(self) -> Case:
        """The case of the kernel that computes the coefficients of this one."""
        compute = compute_dtype(self.dtypes[0])
        variant = self.variant if self.vectors else "plain"
        narrow = self.tail.narrow or self.dtypes[2] in (*BITS_16, IN_8_BITS)
        dtypes = self.dtypes if narrow else (compute, compute, compute)
        return replace(self, kernel="coefficients", variant=variant, dtypes=dtypes)

    @property
    def label(self) -> str:
        """A short unique name, valid as a file name."""
        dtypes = dtype_label(self.dtypes).replace(":", "-")
        kernel = "" if self.kernel == "update" else f".{self.kernel}"
        arch = f".sm_{self.arch}" if self.arch else ""
        return f"{self.backend}.{self.rule}.{self.variant}.{dtypes}{arch}{kernel}"

    def to_json(self) -> dict[str, Any]:
        """Return the case as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Case:
        """Return the case that `to_json` wrote."""
        return Case(**{**data, "dtypes": tuple(data["dtypes"])})


def dtypes_of(text: str) -> tuple[str, str, str]:
    """Return the dtypes of parameters, gradients and states that a text names.

    A single name is that of parameters and gradients; the states of 16-bit ones are float32.
    `spelling.dtype_of` reads the names.

    Raises:
        ValueError: it names no dtypes.

    >>> dtypes_of("bf16"), dtypes_of("float32:bfloat16:float32")
    (('bfloat16', 'bfloat16', 'float32'), ('float32', 'bfloat16', 'float32'))
    """
    names = [dtype_of(name) for name in text.split(":")]
    if len(names) == 1:
        state = "float64" if names == ["float64"] else "float32"
        names = [*names, *names, state]
    if len(names) != 3:
        raise ValueError(text)
    param, grad, state = names
    return param, grad, state


def dtype_label(dtypes: Sequence[str]) -> str:
    """Return the shortest text that `dtypes_of` reads as these dtypes.

    >>> dtype_label(("bfloat16", "bfloat16", "float32")), dtype_label(("float32",) * 3)
    ('bfloat16', 'float32')
    """
    return dtypes[0] if dtypes_of(dtypes[0]) == tuple(dtypes) else ":".join(dtypes)


def default_variant(rule: str) -> str:
    """Return the default variant of a rule: AdamW has decay, since without it is Adam."""
    return "decay" if RULES[rule].decoupled else "plain"


def is_held_in_8_bits(rule: Rule) -> bool:
    """Return whether a rule has a state that may be stored in 8 bits."""
    return not set(rule.states) <= {*rule.wide, *rule.not_in_8_bits}


def cases_for(
    backend: str,
    rules: Iterable[str],
    variants: Sequence[str],
    dtypes: Sequence[tuple[str, str, str]],
    archs: Sequence[int],
    kernel: str = "update",
) -> list[Case]:
    """Return all combinations; without variants, each rule's default."""
    return [
        Case(backend, kernel, rule, variant, dtype, arch)
        for rule in rules
        for variant in variants or (default_variant(rule),)
        if variant != "sums" or RULES[rule].reads_first
        for dtype in dtypes
        for arch in archs
    ]
