"""FlashOptim's formulas for 8-bit states (arXiv 2602.23349), simulated on float32 states.

Blocks of 32, softsign codes for signed states and codes of the root for squares, rounded to
nearest, and scales in float16. After each step, states are replaced by their stored values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpuopt.rules.registry import RULES

from ..buffers import import_torch

BLOCK = 32
SQUARES = frozenset(name for rule in RULES.values() for name in rule.nonnegative)


def store(optimizer: Any) -> None:
    """Replace the states of a torch-like optimizer by their 8-bit values."""
    torch = import_torch()
    for held in optimizer.state.values():
        for name, state in held.items():
            if torch.is_tensor(state) and state.ndim:
                state.copy_(stored(state, name in SQUARES))


def stored(values: Any, squares: bool, scales: str = "float16") -> Any:
    """Encode and decode values.

    Args:
        values: a tensor.
        squares: whether these are squares, whose roots are encoded.
        scales: the dtype of the scales.
    """
    torch = import_torch()
    flat = values.detach().reshape(-1)
    padded = torch.zeros(-(-flat.numel() // BLOCK) * BLOCK)
    padded[: flat.numel()] = flat
    blocks = padded.reshape(-1, BLOCK)
    x = blocks.sqrt() if squares else blocks
    scale = x.abs().amax(1, keepdim=True).to(getattr(torch, scales)).float()
    unit = torch.where(scale > 0, x / scale, 0).clamp(-1, 1)
    decoded: Callable[[Any], Any] = _of_root if squares else _of_softsign
    return (
        decoded(unit)
        .mul(scale**2 if squares else scale)
        .reshape(-1)[: flat.numel()]
        .view_as(values)
    )


def _of_root(unit: Any) -> Any:
    return ((unit * 255).round() / 255) ** 2


def _of_softsign(unit: Any) -> Any:
    y = (127 * 2 * unit / (1 + unit.abs())).round() / 127
    return y / (2 - y.abs())
