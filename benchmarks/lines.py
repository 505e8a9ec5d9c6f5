"""The data of a run: a line for each contender, in the format of `schema.json`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpuopt.doctor import report as machine_report

SCHEMA = 2
SCHEMA_FILE = Path(__file__).with_name("schema.json")


@dataclass(frozen=True)
class Place:
    """What was measured.

    Attributes:
        suite: the suite that measured it.
        rule: the value of ``--rule``.
        dtype: the dtype of parameters and gradients.
        model: a model's name, a size, or a number of tensors.
        device: ``"cpu"`` or ``"cuda"``.
    """

    suite: str
    rule: str
    dtype: str
    model: str
    device: str


@dataclass(frozen=True)
class Line:
    """The figures of one contender; None where one was not measured.

    Attributes:
        place: what was measured.
        contender: its name.
        ours: whether it is gpuopt.
        tensors: the number of tensors.
        elements: the total number of elements.
        bytes: the minimum that a step of the rule has to move.
        seconds: ``median``, ``min``, ``quartiles``, ``samples``, ``steps_per_sample``.
        seconds_an_element: in the cache, without the overhead of a call.
        warm_up_seconds: the first steps, compilation included.
        gigabytes_per_second: ``bytes`` over the median.
        of_copy: the speed relative to the copy loop in the same run.
        times_as_fast_as: the speedup over each peer.
        extra_bytes: memory besides parameters, gradients and states.
        launches: kernels launched per step.
        host_seconds: the host time of a step, if ``seconds`` are the device's.
        waits: whether the device waited for the host, so that ``seconds`` includes that.
        ulps: the parameters' errors (``median``, ``p99``, ``max``) after ``steps``.
    """

    place: Place
    contender: str
    ours: bool
    tensors: int
    elements: int
    bytes: int | None = None
    seconds: Mapping[str, Any] | None = None
    seconds_an_element: float | None = None
    warm_up_seconds: float | None = None
    gigabytes_per_second: float | None = None
    of_copy: float | None = None
    times_as_fast_as: Mapping[str, float] = field(default_factory=dict)
    extra_bytes: int | None = None
    launches: int | None = None
    host_seconds: float | None = None
    waits: bool | None = None
    ulps: Mapping[str, float] | None = None

    @property
    def median(self) -> float | None:
        """The median seconds of a step."""
        return None if self.seconds is None else float(self.seconds["median"])


@dataclass(frozen=True)
class Group:
    """Lines measured together, with interleaved samples.

    Attributes:
        place: what was measured.
        lines: one per contender.
        left_out: the contenders without a line, and why.
        notes: remarks on the comparison.
    """

    place: Place
    lines: Sequence[Line]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def line(self, contender: str) -> Line | None:
        """Return the line of a contender, or None."""
        return next((line for line in self.lines if line.contender == contender), None)


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks.

    Attributes:
        facts: the machine, the date and the command.
        groups: the measurements.
    """

    facts: Mapping[str, Any]
    groups: Sequence[Group]

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON data."""
        groups = [
            {
                **asdict(group.place),
                "lines": [_without_place(asdict(line)) for line in group.lines],
                "left_out": dict(group.left_out),
                "notes": list(group.notes),
            }
            for group in self.groups
        ]
        return {"schema": SCHEMA, **self.facts, "groups": groups}

    def dumps(self) -> str:
        """Return the run as JSON text."""
        return json.dumps(self.to_json(), indent=1) + "\n"

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Run:
        """Return the run that `to_json` wrote.

        Raises:
            ValueError: it has another schema.
        """
        if data.get("schema") != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, got {data.get('schema')!r}")
        groups = []
        for group in data["groups"]:
            place = Place(*(group[name] for name in Place.__dataclass_fields__))
            lines = [Line(place=place, **line) for line in group["lines"]]
            groups.append(Group(place, lines, group["left_out"], group["notes"]))
        facts = {k: v for k, v in data.items() if k not in ("schema", "groups")}
        return Run(facts, groups)


def _without_place(line: dict[str, Any]) -> dict[str, Any]:
    del line["place"]
    return line


def read(path: Path) -> Run:
    """Return the run in a file.

    Raises:
        ValueError: the file is not a run of the benchmarks.
        OSError: the file cannot be read.
    """
    try:
        return Run.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a run of the benchmarks: {error}") from None


def merged(runs: Iterable[Run]) -> Run:
    """Return one run with the groups of all, the facts of the first, every command and warning."""
    several = list(runs)
    commands = dict.fromkeys(str(run.facts["command"]) for run in several)
    facts = {**several[0].facts, "command": "; ".join(commands)}
    gpus = [run.facts["gpu"] for run in several if "gpu" in run.facts]
    if gpus:
        warnings = list(dict.fromkeys(text for gpu in gpus for text in gpu["warnings"]))
        facts["gpu"] = {**gpus[0], "after": gpus[-1]["after"], "warnings": warnings}
    return Run(facts, [group for run in several for group in run.groups])


def facts(
    command: str, device: str, threads: int, rounds: int, load: float | None
) -> dict[str, Any]:
    """Return the facts of a run; ``load`` is the load average at its start."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": command,
        "machine": machine_report(),
        "device": device,
        "load_average": load,
        "threads": threads,
        "rounds": rounds,
    }
