"""Convert state dicts of packages that store numbers in groups; here, each parameter has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .foreign_layouts import (
    DADAPTATION,
    NO_COUNTERPART,
    PRODIGYOPT,
    PYTORCH_OPTIMIZER,
    SCHEDULEFREE,
    Layout,
    Package,
)
from .foreign_states import known_drop_in, options_of_groups, parts_of
from .missing_options import name_of
from .param_groups import CheckedParamGroups

Group = Mapping[str, Any]


def from_dadaptation(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of dadaptation's DAdaptAdam to one that `DAdaptAdam` can load.

    ``d0`` is the optimizer's, since theirs is not saved. dadaptation need not be installed.

    Args:
        state_dict: one of dadaptation.DAdaptAdam, version 3.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    return _converted(state_dict, optimizer, DADAPTATION)


def from_prodigyopt(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of prodigyopt's Prodigy to one that `Prodigy` can load.

    prodigyopt need not be installed.

    Args:
        state_dict: one of prodigyopt.Prodigy, version 1.1, with ``slice_p=1``.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    return _converted(state_dict, optimizer, PRODIGYOPT)


def from_schedulefree(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of schedulefree to one that the drop-in of the same name can load.

    The parameters must be in the mode that the state dict has as ``train_mode``. A parameter
    without a state starts to count and to average at its first gradient; theirs shares the group's
    count. schedulefree need not be installed.

    Args:
        state_dict: one of AdamWScheduleFree, SGDScheduleFree or RAdamScheduleFree, version 1.4.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict.
    """
    return _converted(state_dict, optimizer, SCHEDULEFREE)


def from_pytorch_optimizer(
    state_dict: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Convert a state dict of pytorch_optimizer to one that the drop-in of that name can load.

    Training continues as with theirs, except for the following. MARS adds eps before the bias
    correction there; LaProp decays after the step; AdEMAMix's warm-up lacks the authors' 1e-8;
    RAdam may skip its first steps; Prodigy without beta1 steps by the last d. ADOPT is taken to
    have its default ``clip_lambda``. ``maximize`` is the optimizer's, and so is DAdaptAdam's
    ``d0``, since theirs are not saved. The compensation of ``kahan_sum`` is dropped. A parameter
    without a state starts to count at its first gradient; theirs shares the group's count.
    pytorch_optimizer need not be installed.

    Args:
        state_dict: one of AdaDelta, AdaMax, Adan, AdEMAMix, ADOPT, DAdaptAdam, LaProp, LARS, Lion,
            MARS, Prodigy, RAdam or StableAdamW, version 4.
        optimizer: the drop-in that will load it.

    Raises:
        TypeError, ValueError: it is not such a state dict, or has an option that the drop-in lacks.
    """
    return _converted(state_dict, optimizer, PYTORCH_OPTIMIZER)


def _converted(state_dict: Any, optimizer: Any, package: Package) -> dict[str, Any]:
    own, name = known_drop_in(optimizer, package.layouts, package.refused)
    layout = package.layouts[name]
    states, groups = parts_of(state_dict)
    signs = package.signs if states or package.from_start else ()
    for group in groups:
        _check_names(group, (*signs, *layout.options.values()), name_of(own))
        _check_options(layout, group, name_of(own))
    found = {
        key: _state(key, states[key], group, groups[0], layout, own)
        for group in groups
        for key in group.get("params", ())
        if states.get(key)
    }
    both = zip(options_of_groups(own, len(groups)), groups)
    return {"state": found, "param_groups": [{**a, **_options(a, b, layout)} for a, b in both]}


def _check_names(group: Group, expected: Iterable[str], name: str) -> None:
    missing = [theirs for theirs in expected if theirs not in group]
    if missing:
        raise ValueError(f"state_dict: expected that of {name}, got groups without {missing[0]!r}")


def _check_options(layout: Layout, group: Group, name: str) -> None:
    """Check that the options of a group have counterparts here."""
    for option, value in layout.expected.items():
        if group.get(option, value) != value:
            _refuse(option, group, name, f"expected {value!r}")
    for option in NO_COUNTERPART:
        if group.get(option):
            _refuse(option, group, name, "expected none")
    if not any(group.get(decay) for decay in ("weight_decay", "weight_decay_1d")):
        return
    if group.get("fixed_decay"):
        _refuse("fixed_decay", group, name, "expected False with a weight decay")
    if layout.decouples not in (None, group.get("weight_decouple", layout.decouples)):
        _refuse("weight_decouple", group, name, f"expected {layout.decouples} with a weight decay")


def _refuse(option: str, group: Group, name: str, expected: str) -> None:
    raise ValueError(
        f"state_dict: {option}: {expected}, got {group[option]!r}, which {name} cannot continue"
    )


def _options(ours: Group, theirs: Group, layout: Layout) -> dict[str, Any]:
    """Return what our group takes from theirs: options that both have, and its parameters."""
    names = {name: layout.options.get(name, name) for name in (*ours, "params", "initial_lr")}
    taken = {own: theirs[name] for own, name in names.items() if name in theirs}
    off = {own: 0.0 for own in layout.options if taken.get(own, 0.0) is None}  # AdEMAMix's warm-ups
    return {**taken, **off}


def _state(
    key: Any, held: Group, group: Group, first: Group, layout: Layout, optimizer: CheckedParamGroups
) -> dict[str, Any]:
    """Return the states of a parameter, by our names, with the numbers of its group.

    Shared numbers are those of the first group.
    """
    rules, shared = optimizer._definition.all_rules, optimizer._definition.shared
    names = dict.fromkeys(state for rule in rules for state in rule.states)
    carried = dict.fromkeys(number for rule in rules for number in rule.carried)
    numbers = {
        name: _number(name, held, first if name in shared else group, layout, name_of(optimizer))
        for name in (*carried, *shared, "step")
    }
    theirs = {layout.states.get(name, name) for name in (*names, *numbers)}
    more = [name for name in held if name not in (*theirs, *layout.dropped)]
    made = _arrays(key, held, names, layout)
    if more:
        raise ValueError(
            f"state of {key!r}: {more[0]!r} has no counterpart in {name_of(optimizer)}"
        )
    if layout.matrices and not group.get("optimize_1d"):
        _check_matrices(key, made)
    return {**made, **numbers}


def _number(name: str, held: Group, group: Group, layout: Layout, optimizer: str) -> float:
    """Return a number of a parameter: its own, or its group's."""
    own, in_group = layout.states.get(name, name), layout.numbers.get(name, name)
    if own not in held:
        _check_names(group, (in_group,), optimizer)
    return float(held[own] if own in held else group[in_group]) + layout.ahead.get(name, 0)


def _arrays(
    key: Any, held: Group, names: Mapping[str, None], layout: Layout
) -> dict[str, torch.Tensor]:
    """Return the states of a parameter in its shape; 16-bit states become float32.

    prodigyopt's ``s`` and ``p0`` are flat, a ``p0`` of zeros has a single element, and without
    beta1 there is no average.
    """
    found: dict[str, Any] = {n: held.get(layout.states.get(n, n)) for n in names}
    shaped = [v for n, v in found.items() if n not in layout.flat and isinstance(v, torch.Tensor)]
    lacking = [n for n, v in found.items() if not isinstance(v, torch.Tensor)]
    if not shaped or not {*lacking} <= {*layout.absent}:
        expected = ", ".join(layout.states.get(name, name) for name in names)
        raise ValueError(f"state of {key!r}: expected {expected}, got {', '.join(map(str, held))}")
    like = shaped[0]
    found |= {name: torch.zeros_like(like) for name in lacking}
    wide = torch.promote_types(like.dtype, torch.float32)
    return {
        name: (_shaped(state, like) if name in layout.flat else state).to(wide)
        for name, state in found.items()
    }


def _shaped(state: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if state.numel() == like.numel():
        return state.reshape(like.shape)
    return state.expand_as(like)


def _check_matrices(key: Any, states: Mapping[str, torch.Tensor]) -> None:
    shape = next(iter(states.values())).shape
    if len(shape) > 2:
        raise ValueError(
            f"state of {key!r}: expected at most two dimensions, got {tuple(shape)}: "
            "pytorch_optimizer's MARS corrects more as matrices, and here only optimize_1d does"
        )
