"""The commands `gpuopt compare` and `gpuopt sweep`.

Their libraries are imported when they run, since the other commands do not need them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gpuopt.demo import options
from gpuopt.demo.comparison import Settings, Trial
from gpuopt.demo.extra import imports_of
from gpuopt.demo.methods import ALL, DEFAULT, METHODS, chosen
from gpuopt.demo.sweep import EPOCHS, RATES, trials

ALL_RATES = ",".join(f"{rate:g}" for rate in RATES)
OWN = "each method's own"
MORE = ", ".join(name for name, method in METHODS.items() if method not in DEFAULT)
KNOWN = (*METHODS, ALL)

Also = Annotated[
    str, typer.Option(help=f"Comma-separated further methods: {MORE}; or {ALL} of them.")
]
WHOLE: dict[str, Any] = {"parser": options.whole, "metavar": "<int>"}
REAL: dict[str, Any] = {"parser": options.real, "metavar": "<float>"}
Epochs = Annotated[int, typer.Option(help="Passes over the training images.", **WHOLE)]
BatchSize = Annotated[
    int, typer.Option(help="Images per gradient, except in batch and stochastic GD.", **WHOLE)
]
Seed = Annotated[
    int, typer.Option(help="Seed of the initial weights and the order of the images.", **WHOLE)
]
Backend = Annotated[
    str | None,
    typer.Option(help="Backend of the steps.", show_default="the first that can run"),
]
Device = Annotated[str, typer.Option(help="Device of the training: cpu, or cuda (needs CuPy).")]
Json = Annotated[Path | None, typer.Option(help="Write all numbers as JSON; - for stdout.")]
Stats = Annotated[
    bool,
    typer.Option("--stats", help="Also show norms and largest elements of each last step."),
]
Output = Annotated[Path, typer.Option(help="File of the plot: .png, .svg or .pdf.")]
Rate = Annotated[
    float | None, typer.Option(help="Learning rate of all methods.", show_default=OWN, **REAL)
]
Rates = Annotated[
    str,
    typer.Option(
        help="Comma-separated learning rates.",
        show_default="1 and 3 times each power of ten, 0.0001 to 3",
    ),
]
Betas = Annotated[
    str,
    typer.Option(
        help="Comma-separated betas of Momentum and RMSProp, or first betas of Adam and others.",
        show_default=OWN,
    ),
]


def settings(seed: int, epochs: int, batch_size: int, stats: bool = False) -> Settings:
    """Return the checked settings of all trials."""
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

    The methods are batch, stochastic and mini-batch gradient descent, Momentum, RMSProp and Adam,
    with the same initial weights and the same order of images. Overfitting, vanishing or exploding
    gradients and NaN are reported during training.
    """
    with imports_of("compare"):
        from gpuopt.demo.runner import Job, execute
        from gpuopt.demo.views import comparison_view

    rate = None if lr is None else options.learning_rate("--lr", lr)
    methods = chosen(options.names("--also", also, KNOWN))
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
    """Show how sensitive each method is to its learning rate and beta.

    Trains the network of `compare` with each learning rate and each beta, and shows the final
    training losses.
    """
    with imports_of("sweep"):
        from gpuopt.demo.runner import Job, execute
        from gpuopt.demo.views import sweep_view

    rates = options.numbers("--lr", lr, options.learning_rate)
    betas = options.numbers("--beta", beta, options.decay) if beta else ()
    methods = chosen(options.names("--also", also, KNOWN))
    job = Job(
        trials=trials(methods, rates, betas),
        settings=settings(seed, epochs, batch_size),
        backend=options.backend("--backend", backend),
        picture=options.picture("--output", output),
        json=options.numbers_file("--json", json),
        command=options.command(context),
    )
    execute(job, sweep_view(job))
