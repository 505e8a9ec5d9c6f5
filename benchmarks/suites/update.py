"""Whole steps over the tensors of models, beside the peers."""

from __future__ import annotations

from collections.abc import Iterator

from ..cases import CASES
from ..lines import Group, Place
from ..measure import measure
from ..ours import OURS
from ..peers import PEERS
from . import Asked


def run(asked: Asked) -> Iterator[Group]:
    """Yield a group for each model, rule and dtype."""
    peers = {name: PEERS[asked.device][name] for name in asked.peers}
    contenders = {**OURS[asked.device], **peers}
    for model, shapes in asked.models.items():
        for rule in asked.rules:
            for dtype in asked.dtypes:
                place = Place("update", rule, dtype, model, asked.device)
                yield measure(place, CASES[rule], shapes, contenders, asked.rounds, asked.cold)
