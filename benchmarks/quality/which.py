"""Which optimizer: the loss of two tasks over the learning rate, for each.

    python -m benchmarks.quality.which --optimizers Adam Lion
    python -m benchmarks.quality.which --render

The digits are `gpuopt sweep`'s network and training, over seeds; the characters are the transformer
of `benchmarks.quality`. Learning rates are 1 and 3 times powers of ten, around the method's own and
on to both sides as far as they are of use: 95% of the test digits are recognised, or the loss of
the held-out text is at most `TOLERANCE` above the optimizer's best. All other options are defaults.

It replaces the named optimizers in docs/benchmarks/quality/which.json. ``--render`` trains none: it
writes the picture beside that file and the table of docs/which_optimizer.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from math import inf, isnan
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

from gpuopt.demo import data
from gpuopt.demo.comparison import TARGET_ACCURACY, Settings, Trial, run
from gpuopt.demo.methods import Method as Demo
from gpuopt.rules.definitions import DEFINITIONS

from ..arguments import known_threads, positive
from ..buffers import import_torch
from .families import MEMBERS, ORDER, label_of
from .grid import explored
from .methods import STORAGES, Method
from .paths import best_descent
from .results import TOLERANCE, Results, read
from .tasks import TASKS
from .training import trained
from .which_picture import which_figure
from .which_table import filled

DOCS = Path(__file__).parents[2] / "docs"
FILE, PAGE = DOCS / "benchmarks" / "quality" / "which.json", DOCS / "which_optimizer.md"

STEPS, EPOCHS, SEEDS = 400, 30, 5
"""Of the transformer's training, of the digits', and how many of these there are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.which",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--optimizers", nargs="+", choices=MEMBERS, default=list(MEMBERS))
    parser.add_argument("--steps", type=positive, default=STEPS, help="of the transformer")
    parser.add_argument("--epochs", type=positive, default=EPOCHS, help="of the digits")
    parser.add_argument("--seeds", type=positive, default=SEEDS, help="of the digits")
    parser.add_argument("--json", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--render", action="store_true", help="train none")
    given = parser.parse_args(arguments)
    threads = known_threads()
    if threads is None:
        return 2
    if given.render:
        return _render(given.json)
    import_torch().set_num_threads(threads)
    for name in given.optimizers:  # after every optimizer: a run takes long
        _save(given.json, _measured(MEMBERS[name], given), given)
    return 0


def _render(file: Path) -> int:
    """Write the picture and the table; return 1 if matplotlib is not installed."""
    results = read(file)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    try:
        which_figure(results).savefig(file.with_suffix(".png"))
    except ModuleNotFoundError as error:
        print(f"No picture: {error}", file=sys.stderr)
        return 1
    return 0


# --- measuring ------------------------------------------------------------------------------------


def _measured(method: Demo, given: argparse.Namespace) -> dict[str, Any]:
    """Return what the file has of a method."""
    start = process_time()
    digits = _digits(method, given.epochs, given.seeds)
    best = min(digits, key=lambda rate: _mean(digits[rate]["losses"]))
    own = {
        "name": label_of(method),
        "optimizer": method.optimizer,
        "options": dict(method.options),
        "digits": {f"{rate:g}": found for rate, found in digits.items()},
        "transformer": _transformer(method, best, given.steps),
    }
    print(
        f"{own['name']}: best lr of the digits {best:g}, {process_time() - start:.0f} s", flush=True
    )
    return {**own, "seconds": round(process_time() - start)}


def _digits(method: Demo, epochs: int, seeds: int) -> dict[float, dict[str, list[float | None]]]:
    """Return losses and accuracies of each rate; None where the training diverged."""
    # a dependency of scikit-learn; it has no types
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    digits, found = data.load(), {}

    def tried(rate: float) -> float:
        losses: list[float | None] = []
        accuracies: list[float | None] = []
        for seed in range(seeds):
            one = run(Trial(method, rate), digits, Settings(epochs=epochs, seed=seed))
            final = None if one.diverged else one.final
            losses.append(None if final is None else _rounded(final.train_loss))
            accuracies.append(None if final is None else _rounded(final.test_accuracy))
        found[rate] = {"losses": losses, "accuracies": accuracies}
        return _mean(losses)

    def useful(rate: float, above: float) -> bool:
        accuracies = found[rate]["accuracies"]
        return None not in accuracies and fmean(filter(None, accuracies)) >= TARGET_ACCURACY

    with threadpool_limits(1, "blas"):
        explored(tried, method.lr, useful)
    return {rate: found[rate] for rate in sorted(found)}


def _transformer(method: Demo, start: float, steps: int) -> dict[str, float | None]:
    def tried(rate: float) -> float:
        own = Method(method.name, method.optimizer, {**method.options, "lr": rate})
        loss = trained(TASKS["transformer"], own, STORAGES["float32"], 0, steps)
        return inf if isnan(loss) else loss

    found = explored(tried, start, lambda rate, above: above <= TOLERANCE)
    return {f"{rate:g}": None if loss == inf else _rounded(loss) for rate, loss in found.items()}


def _rounded(number: float) -> float:
    """Return a number with four digits, which repeat on the same machine."""
    return float(f"{number:.4g}")


def _mean(losses: Sequence[float | None]) -> float:
    """Return the mean; infinity if one diverged."""
    return inf if None in losses else fmean(loss for loss in losses if loss is not None)


def _save(file: Path, own: Mapping[str, Any], given: argparse.Namespace) -> None:
    """Write a method's line in place of its last; lines of other settings are dropped."""
    settings = {name: getattr(given, name) for name in ("epochs", "seeds", "steps")}
    before = read(file) if file.exists() else Results(settings, [], [])
    kept = before.optimizers if before.settings == settings else []
    lines = {line["name"]: line for line in [*kept, own]}
    paths = [*before.paths, *_paths({path["family"] for path in before.paths})]
    Results(settings, paths, [lines[name] for name in MEMBERS if name in lines]).write(file)


def _paths(known: Container[str]) -> Iterator[dict[str, Any]]:
    """Yield the path of the example of each family that is not known."""
    for family in ORDER:
        if family.name not in known and family.example in DEFINITIONS:
            found = best_descent(DEFINITIONS[family.example])
            x, y = ([round(float(part), 3) for part in line] for line in found.points.T)
            own = {"name": family.example, "lr": found.lr}
            yield {"family": family.name, **own, "x": x, "y": y}


if __name__ == "__main__":
    sys.exit(main())
