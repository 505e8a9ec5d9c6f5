"""What a run writes down: a line for each contender, as `schema.json` says."""

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
    """What a line is about.

    Attributes:
        suite: which suite took it.
        rule: as ``--rule`` calls it.
        dtype: of parameters and gradients.
        model: a model's name, a size, or how many tensors.
        device: ``"cpu"`` or ``"cuda"``.
    """

    suite: str
    rule: str
    dtype: str
    model: str
    device: str


@dataclass(frozen=True)
class Line:
    """One contender's figures; None where there is no such figure.

    Attributes:
        place: what it is about.
        contender: who.
        ours: whether that is gpuopt.
        tensors: how many.
        elements: of all tensors.
        bytes: the least that a step of the rule has to move.
        seconds: ``median``, ``min``, ``quartiles``, ``samples``, ``steps_per_sample``.
        warm_up_seconds: the first steps, with all that is compiled in them.
        gigabytes_per_second: ``bytes`` over the median.
        of_copy: the speed as a part of a copy's of the same bytes, in the same run.
        times_as_fast_as: by peer.
        extra_bytes: of memory, beyond parameters, gradients and states.
        launches: kernels a step.
        host_seconds: how long a step keeps the host of a device.
        ulps: ``steps``, ``median``, ``p99`` and ``max`` of the parameters' errors.
    """

    place: Place
    contender: str
    ours: bool
    tensors: int
    elements: int
    bytes: int | None = None
    seconds: Mapping[str, Any] | None = None
    warm_up_seconds: float | None = None
    gigabytes_per_second: float | None = None
    of_copy: float | None = None
    times_as_fast_as: Mapping[str, float] = field(default_factory=dict)
    extra_bytes: int | None = None
    launches: int | None = None
    host_seconds: float | None = None
    ulps: Mapping[str, float] | None = None

    @property
    def median(self) -> float | None:
        """The median of the seconds."""
        return None if self.seconds is None else float(self.seconds["median"])


@dataclass(frozen=True)
class Group:
    """Lines that were taken together, in turns.

    Attributes:
        place: what they are about.
        lines: one a contender.
        left_out: who has no line, and why.
        notes: what is to be said about the comparison.
    """

    place: Place
    lines: Sequence[Line]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def line(self, contender: str) -> Line | None:
        """Return a contender's line, if it has one."""
        return next((line for line in self.lines if line.contender == contender), None)


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        facts: where, when and how.
        groups: what was measured.
    """

    facts: Mapping[str, Any]
    groups: Sequence[Group]

    def to_json(self) -> dict[str, Any]:
        """Return the run as plain data."""
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
        """Return the run as text."""
        return json.dumps(self.to_json(), indent=1) + "\n"

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Run:
        """Return the run that `to_json` wrote.

        Raises:
            ValueError: it is no such thing, or of another version.
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
    """Read a file.

    Raises:
        ValueError: it holds no run.
        OSError: it cannot be read.
    """
    try:
        return Run.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} holds no run of the benchmarks: {error}") from None


def merged(runs: Iterable[Run]) -> Run:
    """Return one run with the groups of several, the facts of the first, and all the commands."""
    several = list(runs)
    commands = dict.fromkeys(str(run.facts["command"]) for run in several)
    facts = {**several[0].facts, "command": "; ".join(commands)}
    return Run(facts, [group for run in several for group in run.groups])


def facts(
    command: str, device: str, threads: int, rounds: int, load: float | None
) -> dict[str, Any]:
    """Return where, when and how; ``load`` was taken at the start."""
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
