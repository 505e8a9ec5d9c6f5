"""The results as JSON."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from gpuopt.demo.comparison import TARGET_ACCURACY, Result, Settings
from gpuopt.demo.data import Digits
from gpuopt.demo.options import STANDARD_OUTPUT
from gpuopt.demo.training import Epoch


def record(results: Iterable[Result], settings: Settings, digits: Digits) -> dict[str, Any]:
    """Return a run as JSON data; NaN and infinity become None.

    Only values with "seconds" in their names differ between two runs with the same settings.
    """
    return {
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "settings": {**asdict(settings), "layers": settings.sizes(digits)},
        "images": {"train": len(digits.train), "test": len(digits.test)},
        "target_accuracy": TARGET_ACCURACY,
        "results": [plain(result_record(result)) for result in results],
    }


def result_record(result: Result) -> dict[str, Any]:
    """Return a trial as JSON data."""
    trial = result.trial
    return {
        "method": trial.method.name,
        "label": trial.method.label,
        "optimizer": trial.method.optimizer,
        "options": dict(trial.method.options),
        "lr": trial.learning_rate,
        "beta": trial.beta,
        "batch_size": result.batch_size,
        "backend": result.backend,
        "steps": len(result.clock.seconds),
        "median_step_seconds": result.clock.median,
        "diverged": result.diverged,
        "epochs_to_target": result.epochs_to(),
        "final": asdict(result.final),
        "last_step": result.last_step and result.last_step._asdict(),
        "history": history(result.epochs),
        "findings": [asdict(finding) for finding in result.findings],
    }


def history(epochs: Sequence[Epoch]) -> dict[str, list[Any]]:
    """Return one list per quantity, with a value for each epoch."""
    rows = [asdict(epoch) for epoch in epochs]
    return {name: [row[name] for row in rows] for name in rows[0]}


def plain(value: Any) -> Any:
    """Replace NaN and infinity by None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON to a file, or to standard output for a hyphen."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")
