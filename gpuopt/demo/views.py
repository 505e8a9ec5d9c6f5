"""The output of each command."""

from __future__ import annotations

from gpuopt.demo.comparison_picture import comparison_figure
from gpuopt.demo.console import AllTrials, EachTrial
from gpuopt.demo.runner import Job, View
from gpuopt.demo.sweep import curves
from gpuopt.demo.sweep_picture import sweep_figure
from gpuopt.demo.tables import comparison_tables, sweep_tables


def comparison_view(job: Job) -> View:
    """Return the view of `gpuopt compare`: a bar, a row and training curves for each method."""
    return View(
        observer=lambda progress: EachTrial(progress, job.settings.epochs),
        tables=comparison_tables,
        figure=comparison_figure,
    )


def sweep_view(job: Job) -> View:
    """Return the view of `gpuopt sweep`: one bar, a column for each method, final losses."""
    return View(
        observer=lambda progress: AllTrials(progress, len(job.trials)),
        tables=lambda results, origin: sweep_tables(curves(results), origin),
        figure=lambda results, origin: sweep_figure(curves(results), origin),
    )
