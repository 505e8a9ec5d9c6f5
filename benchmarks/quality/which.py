"""Which optimizer? The losses of two tasks over the learning rate, for each optimizer.

    python -m benchmarks.quality.which --optimizers Adam Lion
    python -m benchmarks.quality.which --render

The digits are `gpuopt sweep`'s network and training, over seeds; the characters are the transformer
of `benchmarks.quality`. Learning rates are 1 and 3 times powers of ten, starting around the
method's default and extended as long as they are useful: 95% of the test digits are recognized, or
the loss of the held-out text is at most 0.1 above the optimizer's best. All other options are
defaults.

It replaces the named optimizers in docs/benchmarks/quality/which.json. ``--render`` only draws the
picture, next to that file. `python -m benchmarks.tables` writes the table.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from math import inf, isnan
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Annotated, Any

from gpuopt.demo import data
from gpuopt.demo.comparison import TARGET_ACCURACY, Settings, Trial, run
from gpuopt.demo.methods import Method as Demo
from gpuopt.rules.definitions import DEFINITIONS

from ..arguments import known_threads, writable
from ..buffers import import_torch
from ..command_line import Exit, names, option, single, texts
from ..command_line import run as run_command
from .families import MEMBERS, ORDER, label_of
from .grid import explored
from .methods import STORAGES, Method
from .paths import best_descent
from .results import TOLERANCE, Results, read
from .tasks import TASKS
from .training import trained
from .which_picture import which_figure

FILE = Path(__file__).parents[2] / "docs" / "benchmarks" / "quality" / "which.json"

STEPS, EPOCHS, SEEDS = 400, 30, 5
"""Steps of the transformer's training, epochs of the digits' training, and its seeds."""

Optimizers = Annotated[
    list[names(MEMBERS)] | None, option(metavar="OPTIMIZER", help=", ".join(MEMBERS))
]
Steps = Annotated[int, option(min=1, metavar="N", help=f"of the transformer; default: {STEPS}")]
Epochs = Annotated[int, option(min=1, metavar="N", help=f"of the digits; default: {EPOCHS}")]
Seeds = Annotated[int, option(min=1, metavar="N", help=f"of the digits; default: {SEEDS}")]
Json = Annotated[Path, option(metavar="FILE", help="instead of that in docs")]
Render = Annotated[bool, option("--render", help="draw what the file has")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(single(measure, __doc__), "benchmarks.quality.which", arguments)


def measure(
    optimizers: Optimizers = None,
    steps: Steps = STEPS,
    epochs: Epochs = EPOCHS,
    seeds: Seeds = SEEDS,
    json: Json = FILE,
    render: Render = False,
) -> None:
    """Train the optimizers and write what was found; or draw it."""
    if render:
        which_figure(read(json)).savefig(json.with_suffix(".png"))
        return
    threads = known_threads()
    if threads is None or not writable([json if json.exists() else None]):
        raise Exit(2)
    import_torch().set_num_threads(threads)
    settings = {"epochs": epochs, "seeds": seeds, "steps": steps}
    for name in texts(optimizers) or MEMBERS:  # after every optimizer, since a run takes long
        _save(json, _measured(MEMBERS[name], settings), settings)


# --- measuring ------------------------------------------------------------------------------------


def _measured(method: Demo, settings: Mapping[str, int]) -> dict[str, Any]:
    """Return a method's results in the file."""
    began = process_time()
    digits = _digits(method, settings["epochs"], settings["seeds"])
    losses = {rate: _mean(found["losses"]) for rate, found in digits.items()}
    best = min(losses, key=losses.__getitem__)
    start = method.lr if losses[best] == inf else best
    own = {
        "name": label_of(method),
        "optimizer": method.optimizer,
        "options": dict(method.options),
        "digits": {f"{rate:g}": found for rate, found in digits.items()},
        "transformer": _transformer(method, start, settings["steps"]),
        "seconds": round(process_time() - began),
    }
    print(f"{own['name']}: lr {start:g} for the digits, {own['seconds']} s", flush=True)
    return own


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


def _save(file: Path, own: Mapping[str, Any], settings: Mapping[str, int]) -> None:
    """Replace a method's line; drop lines measured with other settings."""
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
