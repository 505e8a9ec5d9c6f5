"""Train 500 steps with 16-bit optimizer states, and compare the losses with those of float32.

    python -m benchmarks.state_dtype --seeds 5

A network of 64-64-32-10 learns the handwritten digits, with every optimizer of `gpuopt.torch` that
has states. The noise is the spread of float32's last losses over the seeds; a dtype passes if the
mean of its losses is above float32's by no more than two standard errors of such a difference.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arena import import_torch
from .arguments import known_threads, positive, writable
from .report import load_average, show_machine, show_table

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.05, "momentum": 0.9},
    "Momentum": {"lr": 0.05},
    "RMSprop": {"lr": 2e-3},
    "Adam": {"lr": 5e-3},
    "AdamW": {"lr": 5e-3},
    "Adagrad": {"lr": 0.05},
    "Adadelta": {"lr": 1.0},
    "Adamax": {"lr": 5e-3},
    "NAdam": {"lr": 5e-3},
    "RAdam": {"lr": 5e-3},
    "Rprop": {"lr": 1e-4},
    "ASGD": {"lr": 0.3},
    "Lion": {"lr": 5e-4},
}
"""Every optimizer with states, and a learning rate that trains this network."""

DTYPES = ("float32", "bfloat16", "float16")
STEPS, BATCH, LAST = 500, 64, 50


def final_loss(name: str, dtype: str, seed: int) -> float:
    """Return the mean training loss of the last steps."""
    import gpuopt.torch

    torch = import_torch()
    torch.manual_seed(seed)
    images, labels = _digits()
    layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))
    opt = getattr(gpuopt.torch, name)(net.parameters(), state_dtype=dtype, **OPTIMIZERS[name])
    order = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(STEPS):
        # Rprop is a method for whole gradients.
        chosen = torch.randint(len(images), (BATCH,), generator=order)
        batch = slice(None) if name == "Rprop" else chosen
        loss = torch.nn.functional.cross_entropy(net(images[batch]), labels[batch])
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return float(np.mean(losses[-LAST:]))


def _digits() -> tuple[Any, Any]:
    from gpuopt.demo import data

    torch = import_torch()
    train = data.load().train
    return torch.from_numpy(train.images), torch.from_numpy(train.labels).long()


def measure(names: Sequence[str], seeds: int) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Yield each optimizer with the losses of each dtype, one a seed."""
    for name in names:
        yield name, {d: [final_loss(name, d, seed) for seed in range(seeds)] for d in DTYPES}


def within_noise(losses: Sequence[float], reference: Sequence[float]) -> bool:
    """Whether a mean is worse than another by no more than two standard errors of float32 losses.

    >>> within_noise([1.0, 1.2], [1.1, 0.9]), within_noise([2.0, 2.1], [1.0, 1.1])
    (True, False)
    """
    ours, theirs = np.asarray(losses), np.asarray(reference)
    error = float(theirs.std(ddof=1) * np.sqrt(2 / len(theirs)))
    return bool(ours.mean() <= theirs.mean() + 2 * error)


def row(name: str, losses: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return a line of the table."""
    cells = [f"{np.mean(own):.4f} ± {np.std(own, ddof=1):.4f}" for own in losses.values()]
    worse = [d for d in DTYPES[1:] if not within_noise(losses[d], losses["float32"])]
    return name, *cells, "yes" if not worse else f"NOT {', '.join(worse)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.state_dtype")
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=positive, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.seeds < 2:
        parser.error("--seeds: expected at least 2, whose spread is the noise")
    threads = known_threads()
    if threads is None or not writable([asked.json]):
        return 2
    show_machine(load_average(), threads)
    found = dict(measure(asked.optimizers, asked.seeds))
    head = ("optimizer", *DTYPES, "within noise")
    title = f"Loss after {STEPS} steps, mean and spread of {asked.seeds} seeds"
    show_table(title, head, [row(name, losses) for name, losses in found.items()], [])
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
