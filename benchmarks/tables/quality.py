"""Tables of losses, hard gradients, drifts and means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ..quality import results
from ..quality import which_table as which
from ..quality.verdicts import BASE, verdict
from ..report import Row
from .cells import DATA, data_of, table


def quality(name: str) -> Any:
    """Return the data of a file of docs/benchmarks/quality."""
    return data_of(f"quality/{name}")


def losses_table() -> str:
    """Return final losses with each storage, relative to float32."""
    storages = list(dict.fromkeys(s for own in quality("losses") for s in own["losses"]))
    others = [name for name in storages if name != BASE]
    head = ("task", "steps", "seeds", "optimizer", "float32: median (band)", *others)
    return table(head, [_loss_row(own, others) for own in quality("losses")])


def _loss_row(own: Mapping[str, Any], storages: Sequence[str]) -> Row:
    base = own["losses"][BASE]
    band = f"{median(base):.4g} ({min(base):.4g} - {max(base):.4g})"
    what = (own["task"], f"{own['steps']:,}", str(len(base)), own["optimizer"])
    return (*what, band, *(_relative(own["losses"].get(name), base) for name in storages))


def _relative(losses: Sequence[float] | None, base: Sequence[float]) -> str:
    """Return a median divided by float32's, in bold if it is above all of float32's losses."""
    if losses is None:
        return ""
    text = f"{median(losses) / median(base):.3f}"
    return f"**{text}**" if verdict(losses, base) == "ABOVE" else text


def hard_table() -> str:
    """Return steps and errors on hard gradients."""
    names = list(dict.fromkeys(name for own in quality("hard").values() for name in own))
    rows = [
        (case, *(_step_and_error(own.get(name), name) for name in names))
        for case, own in quality("hard").items()
    ]
    return table(("gradients", *names), rows)


def _step_and_error(own: Mapping[str, float] | None, name: str) -> str:
    if own is None:
        return ""
    return f"{own['step']:.3g}" + ("" if name == "float64" else f"; {own['most']:.2g}")


def drift_table() -> str:
    """Return how far long runs drift."""
    betas = list(dict.fromkeys(beta for own in quality("drift").values() for beta in own))
    rows = [
        (name, *(", ".join(f"{x:.3f}" for x in own.get(beta, ())) or "not run" for beta in betas))
        for name, own in quality("drift").items()
    ]
    return table(("", *(f"beta2 {beta}" for beta in betas)), rows)


def means_table() -> str:
    """Return each rule's largest difference of a state's mean."""
    found = quality("state_dtype")
    dtypes = list(next(iter(found.values())))
    rows = [
        (f"`{rule}`", *(f"{max(own[dtype].values()):.1%}" for dtype in dtypes))
        for rule, own in found.items()
    ]
    return table(("rule", *dtypes), rows)


def which_table() -> str:
    """Return the losses of each optimizer at its best learning rate."""
    found = results.read(DATA / "quality" / "which.json")
    return table(which.HEAD, which.rows(found)) + f"\n\n*{found.origin}*"
