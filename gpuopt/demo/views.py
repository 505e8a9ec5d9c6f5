"""How each command shows its job."""

from __future__ import annotations

from gpuopt.demo.comparison_picture import comparison_figure
from gpuopt.demo.console import AllTrials, EachTrial
from gpuopt.demo.runner import Job, View
from gpuopt.demo.sweep import curves
from gpuopt.demo.sweep_picture import sweep_figure
from gpuopt.demo.tables import comparison_tables, sweep_tables


def comparison_view(job: Job) -> View:
    """A bar and a row for each method, and the curves of the training."""
    return View(
        observer=lambda progress: EachTrial(progress, job.settings.epochs),
        tables=comparison_tables,
        figure=comparison_figure,
    )


def sweep_view(job: Job) -> View:
    """One bar for all, a column for each method, and final losses by learning rate."""
    return View(
        observer=lambda progress: AllTrials(progress, len(job.trials)),
        tables=lambda results, origin: sweep_tables(curves(results), origin),
        figure=lambda results, origin: sweep_figure(curves(results), origin),
    )
