"""The state of a GPU before and after a run, as nvidia-smi reports it, and warnings about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpuopt.doctor import nvidia_smi

FIELDS = {
    "uuid": "uuid",
    "name": "name",
    "driver": "driver_version",
    "SM clock, MHz": "clocks.current.sm",
    "SM clock at most, MHz": "clocks.max.sm",
    "memory clock, MHz": "clocks.current.memory",
    "memory clock at most, MHz": "clocks.max.memory",
    "performance state": "pstate",
    "power, W": "power.draw",
    "power limit, W": "enforced.power.limit",
    "temperature, C": "temperature.gpu",
    "memory temperature, C": "temperature.memory",
    "ECC": "ecc.mode.current",
    "persistence": "persistence_mode",
    "MIG": "mig.mode.current",
    "slowdown by hardware": "clocks_event_reasons.hw_slowdown",
    "thermal slowdown by hardware": "clocks_event_reasons.hw_thermal_slowdown",
    "thermal slowdown by software": "clocks_event_reasons.sw_thermal_slowdown",
    "power brake": "clocks_event_reasons.hw_power_brake_slowdown",
    "power cap": "clocks_event_reasons.sw_power_cap",
    "thermal slowdown by hardware, us": "clocks_event_reasons_counters.hw_thermal_slowdown",
    "thermal slowdown by software, us": "clocks_event_reasons_counters.sw_thermal_slowdown",
    "power brake, us": "clocks_event_reasons_counters.hw_power_brake_slowdown",
    "power cap, us": "clocks_event_reasons_counters.sw_power_cap",
}
"""The recorded fields, and nvidia-smi's names for them. The counters need a recent driver."""

CLOCKS = ("SM clock, MHz", "memory clock, MHz")
SLOWDOWNS = (
    "slowdown by hardware",
    "thermal slowdown by hardware",
    "thermal slowdown by software",
    "power brake",
)
PROCESSES = "processes"
FELL = 0.95
"""The fraction of a clock below which it counts as fallen."""

AWAKE = 1.0
"""Seconds for which the device is kept busy while nvidia-smi reads its clocks."""

State = dict[str, "str | float | None"]


def read(uuid: str) -> tuple[State, str | None]:
    """Return the state of a GPU and None, or no state and the reason.

    Args:
        uuid: the GPU's UUID, as torch prints it.
    """
    rows, problem = _query(list(FIELDS.values()))
    if len(rows) > 1:  # a single GPU matches in any case, since MIG slices have their own UUIDs
        rows = [row for row in rows if row["uuid"] == f"GPU-{uuid}"]
    if not rows:
        return {}, problem or f"nvidia-smi lists no GPU {uuid}"
    found = rows[0]
    state: State = {name: _value(found.get(field)) for name, field in FIELDS.items()}
    return {**state, PROCESSES: _processes(found["uuid"])}, None


def _query(fields: list[str]) -> tuple[list[dict[str, str]], str | None]:
    """Query some fields of all GPUs, without those that this nvidia-smi does not know."""
    rows, problem = nvidia_smi(f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    unknown = re.search(r'Field "(.+?)" is not a valid field', problem or "")
    if unknown and unknown[1] in fields:
        return _query([field for field in fields if field != unknown[1]])
    return [dict(zip(fields, row)) for row in rows], problem


def _processes(uuid: str) -> float | None:
    """Return the number of compute processes on a GPU."""
    asked = "--query-compute-apps=gpu_uuid,pid"
    rows, problem = nvidia_smi(asked, "--format=csv,noheader,nounits")
    return None if problem else sum(row[0] == uuid for row in rows)


def _value(text: str | None) -> str | float | None:
    """Return a number, a text, or None if nvidia-smi has no value.

    >>> _value("1980"), _value("700.00"), _value("Enabled"), _value("[N/A]")
    (1980, 700.0, 'Enabled', None)
    """
    if text is None or text.startswith("[") or text == "N/A":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def device_state() -> tuple[State, str | None]:
    """Return the state of torch's current device, read while it is busy: clocks drop at rest."""
    from .buffers import import_torch
    from .cuda import sleep

    try:
        cuda = import_torch().cuda
        uuid = cuda.get_device_properties(cuda.current_device()).uuid
        sleep(AWAKE)
    except Exception as error:  # a device error; earlier measurements must not be lost
        return {}, f"{type(error).__name__}: {error}".partition("\n")[0]
    return read(str(uuid))


def facts(before: tuple[State, str | None], after: tuple[State, str | None]) -> dict[str, Any]:
    """Return both states, and the warnings, as JSON data."""
    problem = before[1] or after[1]
    found = [f"the GPU's state is not known: {problem}"] if problem else []
    found += warnings(before[0], after[0])
    return {"before": before[0], "after": after[0], "warnings": found}


def warnings(before: State, after: State) -> list[str]:
    """Return what may have distorted the times."""
    return [*_fallen_clocks(before, after), *_slowdowns(before, after), *_others(before, after)]


def _fallen_clocks(before: State, after: State) -> Iterator[str]:
    for clock in CLOCKS:
        name = clock.partition(",")[0]
        first, last = _number(before, clock), _number(after, clock)
        if 0 < last < FELL * first:
            yield f"the {name} fell from {first:g} to {last:g} MHz during the run"


def _slowdowns(before: State, after: State) -> Iterator[str]:
    for name in SLOWDOWNS:
        counter = f"{name}, us"
        taken = _number(after, counter) - _number(before, counter)
        if taken > 0:
            yield f"the GPU reports {taken / 1e6:.3g} s of {name} during the run"
        elif "Active" in (before.get(name), after.get(name)):
            yield f"the GPU reports {name}"


def _others(before: State, after: State) -> Iterator[str]:
    count = max(_number(before, PROCESSES), _number(after, PROCESSES)) - 1  # this process
    if count > 0:
        yield f"{count:g} other process{'es' * (count > 1)} computed on the GPU"


def _number(state: Mapping[str, Any], name: str) -> float:
    return float(state.get(name) or 0)
