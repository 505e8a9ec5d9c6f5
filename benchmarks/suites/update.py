"""Whole steps over the tensors of models, compared with peers."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CASES
from ..lines import Group, Place
from ..measure import measure
from ..ours import OURS
from ..peers import PEERS
from . import Settings


def run(settings: Settings) -> Iterator[Group]:
    """Yield a group for each model, rule and dtype."""
    peers = {name: PEERS[settings.device][name] for name in settings.peers}
    contenders = {**OURS[settings.device], **peers}
    for model, shapes in settings.models.items():
        for rule in settings.rules:
            for dtype in settings.dtypes:
                place = Place("update", rule, dtype, model, settings.device)
                yield measure(
                    place, CASES[rule], shapes, contenders, settings.rounds, settings.cold
                )
