"""The tasks: a network, batches and a final loss, with data from Python and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gpuopt.demo.data import load

from ..buffers import import_torch

Tensors = tuple[Any, Any]
"""Inputs and labels."""

HELD_OUT = 0.1
"""The fraction of the text, at its end, that is held out."""

WIDTH, HEADS, CONTEXT, LAYERS = 64, 4, 32, 2
"""The dimensions of the transformer."""

WINDOWS = 512
"""The number of windows of held-out text for the final loss."""


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Attributes:
        name: its name on the command line.
        model: returns a network whose forward pass gives logits; seeded by the caller.
        batches: yields a number of batches, the same for equal seeds.
        judged: returns the data for the final loss.
        steps: the number of training steps.
    """

    name: str
    model: Callable[[], Any]
    batches: Callable[[int, int], Iterator[Tensors]]
    judged: Callable[[], Tensors]
    steps: int


def loss(model: Any, inputs: Any, labels: Any) -> Any:
    """Return the mean cross-entropy."""
    logits = model(inputs)
    functional = import_torch().nn.functional
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


# --- digits ---------------------------------------------------------------------------------------


@cache
def _digits() -> Tensors:
    torch, train = import_torch(), load().train
    return torch.from_numpy(train.images), torch.from_numpy(train.labels)


def _digit_batches(seed: int, steps: int) -> Iterator[Tensors]:
    images, labels = _digits()
    random = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = random.integers(0, len(labels), 32)
        yield images[chosen], labels[chosen]


def _mlp() -> Any:
    nn = import_torch().nn
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def _convolutions() -> Any:
    nn = import_torch().nn
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


# --- text -----------------------------------------------------------------------------------------


@cache
def _text() -> Any:
    """Return Python's help topics as character indices."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    _, codes = np.unique(np.array(list(text)), return_inverse=True)
    return import_torch().from_numpy(codes.astype(np.int64))


def _windows(begins: Any) -> Tensors:
    window = _text()[begins[:, None] + np.arange(CONTEXT + 1)]
    return window[:, :-1], window[:, 1:]


def _text_batches(seed: int, steps: int) -> Iterator[Tensors]:
    random = np.random.default_rng(seed)
    last = int(len(_text()) * (1 - HELD_OUT)) - CONTEXT - 1
    for _ in range(steps):
        yield _windows(random.integers(0, last, 8))


def _held_out() -> Tensors:
    first = int(len(_text()) * (1 - HELD_OUT))
    return _windows(np.linspace(first, len(_text()) - CONTEXT - 2, WINDOWS).astype(np.int64))


def _transformer() -> Any:
    """Return a causal transformer over characters: pre-norm, learned positions."""
    torch = import_torch()
    nn = torch.nn

    class Tokens(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported late
        def __init__(self) -> None:
            super().__init__()
            self.of_token = nn.Embedding(int(_text().max()) + 1, WIDTH)
            self.of_place = nn.Embedding(CONTEXT, WIDTH)

        def forward(self, tokens: Any) -> Any:
            return self.of_token(tokens) + self.of_place.weight[: tokens.shape[1]]

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
            self.into, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any) -> Any:
            parts = self.into(self.norms[0](x)).chunk(3, -1)
            q, k, v = (y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in parts)
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).flatten(2))
            return x + self.narrow(nn.functional.gelu(self.wide(self.norms[1](x))))

    blocks = [Block() for _ in range(LAYERS)]
    head = nn.Linear(WIDTH, int(_text().max()) + 1, bias=False)
    return nn.Sequential(Tokens(), *blocks, nn.LayerNorm(WIDTH), head)


TASKS = {
    task.name: task
    for task in (
        Task("mlp", _mlp, _digit_batches, _digits, 1000),
        Task("convolutions", _convolutions, _digit_batches, _digits, 600),
        Task("transformer", _transformer, _text_batches, _held_out, 2000),
    )
}
