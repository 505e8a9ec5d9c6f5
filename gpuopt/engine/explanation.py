"""Describe the launches of a step, and the bytes that each moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..kernels.storage import STORAGE
from .dispatch import BACKENDS, Launched
from .launch import Launch, LaunchInfo


def launched(
    launches: Iterable[Launch], names: Sequence[str], measures: bool
) -> tuple[Launched, ...]:
    """Return descriptions of the launches of a step, with equal ones merged.

    Args:
        launches: the launches of an optimizer.
        names: the names of its parameters.
        measures: whether a step reads the gradients once more, for their norm.
    """
    alike: dict[LaunchInfo, list[Launch]] = {}
    for launch in launches:
        alike.setdefault(launch.info, []).append(launch)
    return tuple(_of(info, own, names, measures) for info, own in alike.items())


def together(found: Iterable[Launched]) -> tuple[Launched, ...]:
    """Return the launches of several optimizers, with equal ones merged."""
    alike: dict[tuple[object, ...], list[Launched]] = {}
    for each in found:
        lists = *each.dtypes.items(), *each.passes.items()
        key = each.backend, each.device, each.update, each.strided, lists
        alike.setdefault(key, []).append(each)
    return tuple(
        replace(
            own[0],
            arrays=tuple(name for each in own for name in each.arrays),
            elements=sum(each.elements for each in own),
            launches=sum(each.launches for each in own),
        )
        for own in alike.values()
    )


def _of(
    info: LaunchInfo, launches: Sequence[Launch], names: Sequence[str], measures: bool
) -> Launched:
    update, dtypes = info.update, info.dtypes
    backends = {backend.module: name for name, backend in BACKENDS.items()}
    passes: dict[str, float] = {}
    if measures:
        passes["the norm"] = STORAGE[dtypes[1]].itemsize
    if update.sums:
        passes["sums of each array"] = update.sums.bytes_per_element(dtypes)
    if update.totals:
        passes["sums over all arrays"] = update.totals.bytes_per_element(dtypes)
    passes["the update"] = update.bytes_per_element(dtypes)
    return Launched(
        backend=backends[info.module],
        device=info.device,
        update=update.name.removeprefix("update_"),
        arrays=tuple(names[i] for launch in launches for i in launch.tensors.tolist()),
        elements=sum(launch.elements for launch in launches),
        dtypes=dict(zip(update.lists, dtypes)),
        passes=passes,
        launches=len(launches),
        strided=info.strided,
    )
