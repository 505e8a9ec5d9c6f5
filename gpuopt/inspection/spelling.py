"""Names of dtypes, architectures and families of rules on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..arrays import FLOATS
from ..rules.formats import IN_8_BITS
from ..rules.registry import Rule

ALIASES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
"""Short names of dtypes that are accepted; the output uses the long ones."""

FAMILY = "family:"
"""What stands before the name of a family, in place of a rule."""


_FAMILIES: dict[str, Callable[[Rule], bool]] = {
    "adam": lambda rule: "exp_avg_sq" in rule.states,
    "momentum": lambda rule: "momentum_buffer" in rule.states,
    "rmsprop": lambda rule: "square_avg" in rule.states,
    "sums": lambda rule: rule.reads_first,
}
"""What the rules of a family have: an average of squares, a velocity, RMSProp's, a second pass."""


def families(rules: Mapping[str, Rule]) -> dict[str, list[str]]:
    """Return the names of the rules in each family that has some.

    >>> from gpuopt.rules.registry import RULES
    >>> families({name: RULES[name] for name in ("adam", "lion", "lars", "lamb")})
    {'adam': ['adam', 'lamb'], 'momentum': ['lars'], 'sums': ['lars', 'lamb']}
    """
    found = {
        family: [name for name, rule in rules.items() if is_of(rule)]
        for family, is_of in _FAMILIES.items()
    }
    return {family: names for family, names in found.items() if names}


def expanded(names: Sequence[str], of_families: Mapping[str, Sequence[str]]) -> list[str]:
    """Return names with the rules of families in place of these; unknown ones stay.

    >>> expanded(["sgd", "family:adam", "family:eve"], {"adam": ["adam", "adamw"]})
    ['sgd', 'adam', 'adamw', 'family:eve']
    """
    spelled = {f"{FAMILY}{name}": rules for name, rules in of_families.items()}
    return [rule for name in names for rule in spelled.get(name, (name,))]


def dtype_of(text: str) -> str:
    """Return the dtype of a name.

    Raises:
        ValueError: it is not the name of a dtype.

    >>> dtype_of("bf16"), dtype_of("float32")
    ('bfloat16', 'float32')
    """
    name = ALIASES.get(text, text)
    if name not in (*FLOATS, IN_8_BITS):
        raise ValueError(text)
    return name


def arch_of(text: str, known: Sequence[int]) -> int:
    """Return an architecture: ``sm_90``, or ``90``.

    Raises:
        ValueError: it is not a known architecture.

    >>> arch_of("sm_90", [80, 90]), arch_of("80", [80, 90])
    (90, 80)
    """
    digits = text.removeprefix("sm_")
    names = [str(arch) for arch in known]
    return known[names.index(digits)]


def arch_text(arch: int) -> str:
    """Return the name of an architecture.

    >>> arch_text(90)
    'sm_90'
    """
    return f"sm_{arch}"
