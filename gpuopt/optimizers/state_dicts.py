"""State dicts: all that an optimizer needs to resume with the same bits, checked before use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import (
    copy_into,
    describe,
    describe_state,
    resolved,
    to_numpy,
    zeros,
    zeros_like,
)
from ..arrays.scalars import is_array, value_of
from ..engine.compose import within
from ..engine.masters import dtypes_of_state
from ..engine.states import LAST_STEP
from ..engine.tail import Tail
from ..kernels.storage import BLOCK
from ..rules.definitions import Definition
from ..rules.formats import FORMATS, scale_name
from ..rules.registry import Rule
from ..rules.rounding import SEED
from .checkpoint import Stored
from .coded_dicts import formats_in, formats_part, in_order_here, order_in
from .loaded import OF_TAILS, unused
from .options import Options, checked_state_dtype
from .params import Key, Structure
from .whole import OF_OPTIMIZERS, STATE_DTYPE, how_to_set


@dataclass(frozen=True)
class Contents:
    """The contents of a state dict.

    Attributes:
        groups: the options of each group.
        state_dtype: the dtype of new states.
        steps: the number of updates of each array.
        states: the states of each array, by name.
        carried: the numbers that each array carries from step to step, by name.
        skipped_steps: the number of skipped steps.
        formats: for each array, the formats of its encoded states, by name.
    """

    groups: tuple[Options, ...]
    state_dtype: str | None
    steps: list[int]
    states: list[dict[str, Any]]
    carried: list[dict[str, float]]
    skipped_steps: int
    formats: list[dict[str, str]]


@dataclass(frozen=True)
class Reader:
    """Reads state dicts for an optimizer; the attributes are the optimizer's."""

    optimizer: str
    structure: Structure
    params: Sequence[Any]
    state_dtype: str | None
    definition: Definition
    tail: Tail

    def read(self, state_dict: Mapping[str, Any]) -> Contents:
        """Return the contents of a state dict, in new arrays.

        Raises:
            TypeError, ValueError: it is of another optimizer, or of other arrays.
        """
        _check_shape(state_dict, self.optimizer)
        groups = self._groups(state_dict["param_groups"])
        given = state_dict["state"]
        if not isinstance(given, Mapping):
            raise TypeError(f"state_dict: expected a dict as 'state', got {type(given).__name__}")
        own = state_dict.get("formats", {})
        keys = [*given, *(own if isinstance(own, Mapping) else ())]
        unknown = [key for key in keys if key not in self.structure.keys]
        if unknown:
            raise ValueError(f"state_dict: state of an unknown array {unknown[0]!r}")
        steps, states, carried = [], [], []
        formats = [formats_in(state_dict, key) for key in self.structure.keys]
        for i, key in enumerate(self.structure.keys):
            rule = self.definition.rule_for(groups[self.structure.group_of[i]])
            own = given.get(key, {"step": 0})
            step, arrays, numbers = self._state(i, own, rule, formats[i])
            shape = describe(self.params[i], "parameter").shape
            order = order_in(state_dict, key, shape)
            formats[i] = in_order_here(self.params[i], arrays, formats[i], order)
            steps.append(step)
            states.append(arrays)
            carried.append(numbers)
        dtype = checked_state_dtype(state_dict.get("state_dtype", self.state_dtype))
        skipped = skipped_in(state_dict) or 0
        return Contents(groups, dtype, steps, states, carried, skipped, formats)

    def _groups(self, groups: Sequence[Mapping[str, Any]]) -> tuple[Options, ...]:
        ours = keys_by_group(self.structure)
        if not isinstance(groups, (list, tuple)) or not all(isinstance(g, Mapping) for g in groups):
            raise TypeError(
                f"state_dict: expected a list of dicts as 'param_groups', got {groups!r}"
            )
        theirs = [group.get("params") for group in groups]
        if theirs != ours:
            raise ValueError(
                f"state_dict: expected groups of the arrays {ours}, got {theirs} "
                "(names for a dict of arrays, indices for a list)"
            )
        return tuple(_options(self.definition, group) for group in groups)

    def _state(
        self, i: int, own: Mapping[str, Any], rule: Rule, formats: Mapping[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, float]]:
        """Return the step count, the states and the carried numbers of array ``i``."""
        name = f"state_dict: state of {self.structure.names[i]}"
        if not isinstance(own, Mapping):
            raise TypeError(f"{name}: expected a dict, got {type(own).__name__}")
        step = own.get("step")
        if not isinstance(step, (int, np.integer)) or isinstance(step, bool):
            raise TypeError(f"{name}: expected an integer as step, got {step!r}")
        if not 0 <= step < LAST_STEP:
            raise ValueError(f"{name}: expected a step in [0, {LAST_STEP}), got {step!r}")
        params = describe(self.params[i], name).dtype
        update = within(rule, self.tail).for_params(params)
        carried = (*update.carried_names, *rule.shared, SEED)
        numbers = {n: _number(own[n], f"{name}[{n!r}]") for n in carried if n in own}
        # After a change of options, states of another rule remain.
        left_out = unused(own, update, params)
        accepted = self.definition.state_names | (OF_TAILS - left_out)
        others = {"step", *numbers, *left_out}
        scales = {scale_name(n): own.get(scale_name(n)) for n in formats}
        arrays = {key: value for key, value in own.items() if key not in {*others, *scales}}
        if not set(rule.states) <= set(arrays) <= accepted and (arrays or step):
            raise ValueError(f"{name}: expected {update.states}, got {tuple(arrays)}")
        if not set(formats) <= set(arrays):
            raise ValueError(f"{name}: expected the states {tuple(formats)}, got {tuple(arrays)}")
        param = self.params[i]
        dtypes = {n: _dtypes_of(n, formats.get(n)) for n in arrays}
        states = {n: _state_like(param, arrays[n], f"{name}[{n!r}]", dtypes[n]) for n in arrays}
        states |= {n: _scales_like(param, a, f"{name}[{n!r}]") for n, a in scales.items()}
        return int(step), states, numbers


def skipped_in(state_dict: Mapping[str, Any]) -> int | None:
    """Return the number of skipped steps in a state dict, or None if there is none.

    Raises:
        ValueError: it is not a count.
    """
    count = state_dict.get("skipped_steps")
    if count is None:
        return None
    if not isinstance(count, (int, np.integer)) or not 0 <= count < LAST_STEP:
        raise ValueError(f"state_dict: expected a count as skipped_steps, got {count!r}")
    return int(count)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)


def keys_by_group(structure: Structure) -> list[list[Key]]:
    """Return the keys of the arrays of each group."""
    keys: list[list[Key]] = [[] for _ in structure.groups]
    for key, group in zip(structure.keys, structure.group_of):
        keys[group].append(key)
    return keys


def snapshot(
    optimizer: str,
    structure: Structure,
    groups: Sequence[Options],
    state_dtype: str | None,
    state: Mapping[Key, Mapping[str, Any]],
    skipped_steps: int,
    formats: Mapping[Key, Mapping[str, str]],
) -> dict[str, Any]:
    """Return a state dict.

    Args:
        optimizer: the name of its class.
        structure: the structure of its arrays.
        groups: the options of each group.
        state_dtype: the dtype of new states.
        state: for each array's key, its step, copies of its states, and its carried numbers.
        skipped_steps: the number of skipped steps.
        formats: for each array's key, the formats of its states, by name.
    """
    listed = [
        {**_plain(group), "params": keys} for group, keys in zip(groups, keys_by_group(structure))
    ]
    return {
        "optimizer": optimizer,
        "state": dict(state),
        "param_groups": listed,
        "state_dtype": state_dtype,
        "skipped_steps": skipped_steps,
        **formats_part(formats, state),
    }


def _plain(group: Options) -> dict[str, Any]:
    """Return options as plain values; synchronizes with the devices of tensors."""
    return {name: value_of(v) if is_array(v) else v for name, v in group.items()}


def _check_shape(state_dict: Mapping[str, Any], optimizer: str) -> None:
    parts = ("optimizer", "state", "param_groups")
    expected = f"state_dict: expected a dict with {', '.join(map(repr, parts))}"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{expected}, got {type(state_dict).__name__}")
    if not set(parts) <= set(state_dict):
        torchs = " (as torch's optimizers have)" if set(parts[1:]) == set(state_dict) else ""
        raise ValueError(f"{expected}, got one with {list(state_dict)}{torchs}")
    if state_dict["optimizer"] != optimizer:
        raise ValueError(
            f"state_dict: expected that of {optimizer}, as gpuopt.{optimizer} makes, got that of "
            f"{state_dict['optimizer']!r}"
        )


def _options(definition: Definition, group: Mapping[str, Any]) -> Options:
    added = {option.name: option.default for option in definition.options if option.added}
    options = {**added, **{name: value for name, value in group.items() if name != "params"}}
    foreign = [name for name in options if name in OF_OPTIMIZERS]
    if foreign:
        raise ValueError(f"state_dict: {how_to_set(foreign[0])}")
    names = list(definition.defaults)
    if {*options} - {STATE_DTYPE} != {*names}:
        raise ValueError(f"state_dict: expected the options {names}, got {list(options)}")
    names += [STATE_DTYPE] if STATE_DTYPE in options else []
    try:
        return Options(definition, {name: options[name] for name in names})
    except (TypeError, ValueError) as error:
        raise type(error)(f"state_dict: {error}") from None


def _scales_like(param: Any, array: Any, name: str) -> Any:
    """Return the scales of a state of ``param`` as a new array."""
    if array is None:
        raise ValueError(f"{name}: expected the scales of a state in 8 bits, got none")
    values, dtype = _values_of(array, name)
    made = zeros(param, -(-describe(param, name).size // BLOCK))
    if dtype != "float32" or values.shape != describe(made, name).shape:
        raise ValueError(
            f"{name}: expected float32 of shape {describe(made, name).shape}, "
            f"got {dtype} of shape {values.shape}"
        )
    copy_into(made, values)
    return made


def _dtypes_of(name: str, stored_as: str | None) -> tuple[str, ...]:
    """Return the dtypes that a state may have, whether it is encoded or not."""
    return dtypes_of_state(name) if stored_as is None else (FORMATS[stored_as].codes,)


def _state_like(param: Any, array: Any, name: str, expected: Sequence[str]) -> Any:
    """Return a new state of ``param`` with the values and the dtype of ``array``.

    Args:
        param: the parameter.
        array: the state.
        name: its name in errors.
        expected: the dtypes that it may have.
    """
    values, dtype = _values_of(array, name)
    if dtype not in expected:
        raise TypeError(f"{name}: expected one of {', '.join(expected)}, got {dtype}")
    shape = describe(param, name).shape
    if values.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {values.shape}")
    state = zeros_like(param, dtype)
    copy_into(state, values)
    return state


def _values_of(array: Any, name: str) -> tuple[npt.NDArray[Any], str]:
    if isinstance(array, Stored):
        return array.values, array.dtype
    plain = resolved(array)
    dtype = describe_state(plain, name).dtype
    return to_numpy(plain), dtype
