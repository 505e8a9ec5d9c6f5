"""The kernels to inspect: a rule, its variant, the dtypes of its lists, an architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from ..engine.advance import Advance, advance_of
from ..engine.compose import Update, pass_of, within
from ..engine.low_precision import BITS_16
from ..engine.measure import MEASURE, Measure
from ..engine.sums import Sums
from ..engine.tail import Tail
from ..kernels.storage import STORAGE, compute_dtype
from ..kernels.table import layout_of_subtotals, layout_of_sums, layout_of_totals
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


_STAGES: dict[str, Callable[[Rule], tuple[Stage, ...]]] = {
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
}
"""The stages before a rule: weight decay, and the factor of maximize, unscaling and clipping.
``misaligned`` is the plain rule for arrays that are not aligned to 16 bytes. The others have a
tail of `TAILS`."""

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

_KEPT = {
    "master": Tail(master_weights=True),
    "split16": Tail(master_weights="split16"),
    "split8": Tail(master_weights="split8"),
    "kahan": Tail(kahan_sum=True),
}
"""The tails that passes keep what rounding cuts off of the parameters by."""


class Pass(NamedTuple):
    """A pass of a rule outside of steps: its name, the tail that it keeps, stages before it."""

    name: str
    tail: Tail = Tail()
    stages: tuple[Stage, ...] = ()


def passes_of(rule: Rule) -> dict[str, Pass]:
    """Return the variants that are the passes of a rule.

    >>> list(passes_of(RULES["sophiag"]))
    ['update_hessian', 'update_hessian_scale']
    """
    return dict(_passes_of(rule))


def _passes_of(rule: Rule) -> Iterator[tuple[str, Pass]]:
    for name, stage in rule.passes.items():
        yield name, Pass(name)
        if "g" in stage.values:
            yield f"{name}_scale", Pass(name, stages=(SCALE_GRADIENT,))
        if "p" in stage.results:
            yield from ((f"{name}_{kept}", Pass(name, tail)) for kept, tail in _KEPT.items())


class Part(NamedTuple):
    """A kernel of steps besides the update and its coefficients, and the rules that have it."""

    kernel: str
    of: Callable[[Rule], bool]


PARTS = {
    "measure": Part("update", lambda rule: True),
    "norm_subtotals": Part("subtotals", lambda rule: True),
    "norm_total": Part("total", lambda rule: True),
    "sums": Part("update", lambda rule: rule.reads_first),
    "sums_of_tensors": Part("sums", lambda rule: bool(rule.sums)),
    "totals_of_tables": Part("sums", lambda rule: bool(rule.totals)),
    "totals_of_all": Part("sums", lambda rule: bool(rule.totals)),
    "advance": Part("coefficients", lambda rule: bool(rule.shared)),
}
"""``measure`` is the pass that computes the norm, whose partials ``norm_subtotals`` and
``norm_total`` add up, all independent of the rule; ``sums`` the one that finds the sums or the
totals of a rule in front of its update. ``sums_of_tensors`` adds these up, or ``totals_of_tables``
and ``totals_of_all``, from which ``advance`` computes the next shared numbers."""

PASSES = {variant: own for rule in RULES.values() for variant, own in passes_of(rule).items()}
"""The variants that are passes of some rule."""

VARIANTS = (*_STAGES, *PASSES, *PARTS)
"""The variants of all rules: their updates, their passes, and the other parts of their steps."""


def has_variant(rule: Rule, variant: str) -> bool:
    """Return whether a rule has a variant."""
    if variant in PARTS:
        return PARTS[variant].of(rule)
    return variant in _STAGES or variant in passes_of(rule)


@dataclass(frozen=True, order=True)
class Case:
    """One kernel to compile.

    Attributes:
        backend: its backend.
        kernel: ``"update"``, ``"coefficients"`` for the small kernel that runs before it, or what
            adds up partials: ``"sums"``, ``"subtotals"``, ``"total"``.
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
        """The compiled function, except for the variants of `PARTS`, which belong to its step."""
        update = self._composed.for_params(self.dtypes[0])
        return update.for_states(self._states_of(update))

    @property
    def _composed(self) -> Update:
        rule, own = RULES[self.rule], self.of_pass
        if own is not None:
            return pass_of(rule, own.name, own.tail, own.stages)
        stages = _STAGES.get(self.variant)
        return within(rule, self.tail, stages(rule) if stages else ())

    @property
    def of_pass(self) -> Pass | None:
        """The pass that it is, if it is one."""
        return passes_of(RULES[self.rule]).get(self.variant)

    def _states_of(self, update: Update) -> dict[str, str]:
        return update.stored_states(self.dtypes[0], self.dtypes[2])

    @property
    def walked(self) -> Update | Measure | Sums | Advance:
        """The function applied to the elements: the update, or a pass in front of it.

        That of ``advance`` is applied to none.
        """
        if self.variant == "measure":
            return MEASURE
        if self.variant == "advance":
            return advance_of(RULES[self.rule])
        return self.update.in_front[0] if self.variant == "sums" else self.update

    @property
    def measures(self) -> bool:
        """Whether it is a pass in front of the update, which writes nothing."""
        return self.variant in ("measure", "sums")

    @property
    def tail(self) -> Tail:
        """What its step does besides the update."""
        own = self.of_pass
        return TAILS.get(self.variant, Tail()) if own is None else own.tail

    @property
    def adds_up(self) -> bool:
        """Whether it adds up partials, and has no elements."""
        return self.kernel not in ("update", "coefficients")

    @property
    def layout(self) -> tuple[int, ...]:
        """What a kernel ``"sums"`` is told of the numbers that it adds up; no other is told any."""
        return layouts_of(self.update).get(self.variant, ())

    @property
    def reduces(self) -> bool:
        """Whether the threads of a block reduce partials."""
        return self.adds_up or (self.kernel == "update" and bool(self.walked.watched_names))

    @property
    def squares(self) -> bool:
        """Whether some of these are sums of squares of elements."""
        walked = self.walked
        return self.kernel == "update" and len(walked.watched_names) > walked.n_plain

    @property
    def blocked(self) -> bool:
        """Whether blocks of its states' elements share a scale."""
        return bool(self.walked.blocked)

    @property
    def moved_dtypes(self) -> tuple[str, ...]:
        """The dtypes of the lists that it reads or writes."""
        rows = {*self.walked.read, *self.walked.written}
        return tuple(self.list_dtypes[row] for row in sorted(rows))

    @property
    def list_dtypes(self) -> tuple[str, ...]:
        """The dtype of each list of the update.

        A pass over states alone has no gradients: the parameters take their place.
        """
        param, grad, _ = self.dtypes
        if self.variant == "measure":
            return param, grad
        if self.variant == "advance":
            return Advance.dtypes
        update, own = self.update, self.of_pass
        if own is not None and "g" not in update.rule.passes[own.name].values:
            grad = param
        return param, grad, *update.dtypes_of_lists(self._states_of(update))

    @property
    def floor(self) -> float:
        """The minimum bytes per element; 0 for a kernel without elements."""
        walked = self.walked
        if self.kernel != "update":
            return 0
        if isinstance(walked, (Update, Sums)):
            return walked.bytes_per_element(self.list_dtypes)
        return STORAGE[self.dtypes[1]].itemsize

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


def layouts_of(update: Update) -> dict[str, tuple[int, int, int, int]]:
    """Return what the kernels ``"sums"`` of an update's steps are told, by variant."""
    rule, found = update.rule, {}
    if update.sums:
        found["sums_of_tensors"] = layout_of_sums(update)
    if rule.totals and not update.instead:
        n, watched = len(rule.totals), (update.totals or update).watched_names
        found["totals_of_tables"] = layout_of_subtotals(n, len(watched))
        found["totals_of_all"] = layout_of_totals(n, len(advance_of(rule).carried_names))
    return found


def cases_for(
    backend: str,
    rules: Iterable[str],
    variants: Sequence[str],
    dtypes: Sequence[tuple[str, str, str]],
    archs: Sequence[int],
    kernel: str = "update",
) -> list[Case]:
    """Return all combinations; without variants, each rule's default.

    Rules have their own variants alone, and the variants of `PARTS` the kernels of their own.
    """
    return [
        Case(backend, PARTS[variant].kernel if variant in PARTS else kernel, rule, variant, *others)
        for rule in rules
        for variant in variants or (default_variant(rule),)
        if has_variant(RULES[rule], variant)
        for others in product(dtypes, archs)
    ]
