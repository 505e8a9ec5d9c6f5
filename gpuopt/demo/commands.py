"""The commands `gpuopt compare` and `gpuopt sweep`.

What only they need is imported when they run: `gpuopt inspect` and `gpuopt doctor` do without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gpuopt.demo import options
from gpuopt.demo.comparison import Settings, Trial
from gpuopt.demo.extra import imports_of
from gpuopt.demo.methods import METHODS, OTHERS, chosen
from gpuopt.demo.sweep import EPOCHS, RATES, trials

ALL_RATES = ",".join(f"{rate:g}" for rate in RATES)
OWN = "each method's own"
MORE = ", ".join(method.name for method in OTHERS)

Also = Annotated[str, typer.Option(help=f"More methods, with commas between them: {MORE}.")]
WHOLE: dict[str, Any] = {"parser": options.whole, "metavar": "<int>"}
REAL: dict[str, Any] = {"parser": options.real, "metavar": "<float>"}
Epochs = Annotated[int, typer.Option(help="Passes over the training images.", **WHOLE)]
BatchSize = Annotated[
    int, typer.Option(help="Images behind each gradient, but in batch and stochastic GD.", **WHOLE)
]
Seed = Annotated[
    int, typer.Option(help="Decides the first weights and the order of the images.", **WHOLE)
]
Backend = Annotated[
    str | None,
    typer.Option(help="What computes the steps.", show_default="the best that runs here"),
]
Device = Annotated[str, typer.Option(help="Where all of it is computed: cpu, or cuda, by CuPy.")]
Json = Annotated[Path | None, typer.Option(help="A file for all the numbers; - prints them.")]
Stats = Annotated[
    bool,
    typer.Option("--stats", help="Show norms and largest elements of the last steps, too."),
]
Output = Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")]
Rate = Annotated[
    float | None, typer.Option(help="Learning rate for all.", show_default=OWN, **REAL)
]
Rates = Annotated[str, typer.Option(help="Learning rates, with commas between them.")]
Betas = Annotated[
    str,
    typer.Option(help="Decays: the beta of Momentum and RMSProp, Adam's first.", show_default=OWN),
]


def settings(seed: int, epochs: int, batch_size: int, stats: bool = False) -> Settings:
    """Check what all trials share."""
    return Settings(
        stats=stats,
        seed=options.at_least("--seed", seed, 0),
        epochs=options.at_least("--epochs", epochs, 1),
        batch_size=options.at_least("--batch-size", batch_size, 1),
    )


def compare(
    context: typer.Context,
    also: Also = "",
    epochs: Epochs = Settings.epochs,
    lr: Rate = None,
    batch_size: BatchSize = Settings.batch_size,
    seed: Seed = Settings.seed,
    device: Device = "cpu",
    backend: Backend = None,
    json: Json = None,
    stats: Stats = False,
    output: Output = Path("compare.png"),
) -> None:
    """Train a network on handwritten digits once per method, and compare the methods.

    They are batch, stochastic and mini-batch gradient descent, Momentum, RMSProp and Adam, all
    from the same start and with the images in the same order. Overfitting, vanishing or
    exploding gradients and NaN are reported on the way.
    """
    with imports_of("compare"):
        from gpuopt.demo.runner import Job, execute
        from gpuopt.demo.views import comparison_view

    rate = None if lr is None else options.learning_rate("--lr", lr)
    methods = chosen(options.names("--also", also, METHODS))
    job = Job(
        trials=[Trial(method, rate) for method in methods],
        settings=settings(seed, epochs, batch_size, stats),
        backend=options.backend("--backend", backend),
        picture=options.picture("--output", output),
        json=options.numbers_file("--json", json),
        command=options.command(context),
        device=options.device("--device", device),
    )
    execute(job, comparison_view(job))


def sweep(
    context: typer.Context,
    also: Also = "",
    lr: Rates = ALL_RATES,
    beta: Betas = "",
    epochs: Epochs = EPOCHS,
    batch_size: BatchSize = Settings.batch_size,
    seed: Seed = Settings.seed,
    backend: Backend = None,
    json: Json = None,
    output: Output = Path("sweep.png"),
) -> None:
    """Show how much each method depends on its learning rate, and on its beta.

    Trains the network of `compare` with each of the learning rates, and with each of the betas,
    and shows the training losses that they end with.
    """
    with imports_of("sweep"):
        from gpuopt.demo.runner import Job, execute
        from gpuopt.demo.views import sweep_view

    rates = options.numbers("--lr", lr, options.learning_rate)
    betas = options.numbers("--beta", beta, options.decay) if beta else ()
    methods = chosen(options.names("--also", also, METHODS))
    job = Job(
        trials=trials(methods, rates, betas),
        settings=settings(seed, epochs, batch_size),
        backend=options.backend("--backend", backend),
        picture=options.picture("--output", output),
        json=options.numbers_file("--json", json),
        command=options.command(context),
    )
    execute(job, sweep_view(job))
