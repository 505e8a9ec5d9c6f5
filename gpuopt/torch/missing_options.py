"""Groups that lack an option, since they come from another optimizer or an older torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .param_groups import CheckedParamGroups

Group = Mapping[str, Any]


def check_options(optimizer: CheckedParamGroups) -> None:
    """Check that all groups have the options that a step reads.

    Raises:
        ValueError: one is missing.
    """
    for i, group in enumerate(optimizer.param_groups):
        missing = missing_options(optimizer, group)
        if missing and _step_reads_missing(optimizer, group):
            raise ValueError(
                f"param_groups[{i}]: expected the options of {name_of(optimizer)}, got a group "
                f"without {listed(missing)}"
            )


def missing_options(optimizer: CheckedParamGroups, group: Group) -> list[str]:
    """Return the options of an optimizer's class that a group lacks."""
    known = optimizer._definition.defaults.keys()
    return [name for name in optimizer.defaults if name in known - group.keys()]


def torch_name(optimizer: CheckedParamGroups, name: str) -> str:
    """Return torch's name of a rule's hyperparameter: ``betas[0]`` for beta1."""
    for option, parts in optimizer._definition.parts.items():
        if name in parts:
            return option if len(parts) == 1 else f"{option}[{parts.index(name)}]"
    return name


def drop_in_of(optimizer: CheckedParamGroups) -> Any:
    """Return the class of gpuopt.torch to which an optimizer belongs."""
    return next(base for base in type(optimizer).__mro__ if "_definition" in vars(base))


def name_of(optimizer: CheckedParamGroups) -> str:
    """Return the name of that class; for an `Optimizer`, with its rule."""
    name, rule = str(drop_in_of(optimizer).__name__), optimizer._definition.registered
    return f"{name}(rule={rule!r})" if rule else name


def listed(names: Iterable[Any]) -> str:
    """Return names as an error message lists them."""
    return ", ".join(map(repr, names))


class _ReadOptions(dict[str, Any]):
    """The options of a group, or their defaults; records which missing ones were read."""

    def __init__(self, group: Group, defaults: Group) -> None:
        """Store a group, and the values of missing options."""
        super().__init__(group)
        self._defaults = defaults
        self.missing: list[str] = []

    def __missing__(self, name: str) -> Any:
        """Return the default."""
        self.missing.append(name)
        return self._defaults.get(name)


def _step_reads_missing(optimizer: CheckedParamGroups, group: Group) -> bool:
    read = _ReadOptions(group, optimizer.defaults)
    rule = optimizer._rule_for(read)
    by_step = (*rule.hyperparameters, *rule.initial.values(), "weight_decay", "maximize")
    names = {*read.missing, *(torch_name(optimizer, name).partition("[")[0] for name in by_step)}
    return not names & optimizer.defaults.keys() <= group.keys()
