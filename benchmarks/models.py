"""Models as lists of tensor shapes."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]


def gpt2(layers: int = 12, width: int = 768, words: int = 50257, context: int = 1024) -> Shapes:
    """Return the shapes of GPT-2's released weights: 148 tensors, 124M elements."""
    norm = ((width,), (width,))
    block = (
        *norm,
        *((width, 3 * width), (3 * width,), (width, width), (width,)),
        *norm,
        *((width, 4 * width), (4 * width,), (4 * width, width), (width,)),
    )
    return ((words, width), (context, width), *(block * layers), *norm)


def resnet50(classes: int = 1000) -> Shapes:
    """Return the shapes of ResNet-50: 161 tensors, 25.6M elements."""
    shapes: list[Shape] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
        after = 4 * width
        for block in range(blocks):
            convolutions = [(width, before, 1, 1), (width, width, 3, 3), (after, width, 1, 1)]
            if block == 0:
                convolutions.append((after, before, 1, 1))
            for shape in convolutions:
                shapes += [shape, shape[:1], shape[:1]]
            before = after
    return (*shapes, (classes, before), (classes,))


def llama(layers: int, width: int, keys: int, inner: int, words: int, tied: bool) -> Shapes:
    """Return the shapes of a Llama model; ``tied``: the output layer shares the embedding."""
    block = (
        *((width, width), (keys, width), (keys, width), (width, width)),
        *((inner, width), (inner, width), (width, inner)),
        *((width,), (width,)),
    )
    table = ((words, width),)
    return (*table, *(block * layers), (width,), *(() if tied else table))


def rows_of(count: int, ranks: int, rank: int) -> int:
    """Return the number of rows that a rank holds, as FSDP2 and torch.chunk shard them.

    >>> [rows_of(5, 4, rank) for rank in range(4)]
    [2, 2, 1, 0]
    """
    each = -(-count // ranks)
    return max(0, min(count, (rank + 1) * each) - rank * each)


def shard(shapes: Shapes, ranks: int, rank: int) -> Shapes:
    """Return the shapes of one rank's shards."""
    return tuple((rows_of(shape[0], ranks, rank), *shape[1:]) for shape in shapes)


LLAMA_1B = llama(layers=16, width=2048, keys=512, inner=8192, words=128256, tied=True)
"""Llama 3.2 1B: 146 tensors."""


MODELS: dict[str, Shapes] = {
    "gpt2": gpt2(),
    "resnet50": resnet50(),
    "llama-1b-shard": shard(LLAMA_1B, 8, 0),
    "tiny500": ((64,),) * 500,
    "llama-1b": LLAMA_1B,
}
"""The values of ``--model``."""

LARGE = ("llama-1b",)
"""The models that ``--model all`` leaves out."""


def elements(shapes: Shapes) -> int:
    """Return the number of elements of all tensors together.

    >>> len(MODELS["gpt2"]), elements(MODELS["gpt2"])
    (148, 124439808)
    >>> len(MODELS["resnet50"]), elements(MODELS["resnet50"])
    (161, 25557032)
    >>> len(MODELS["llama-1b-shard"]), 8 * elements(MODELS["llama-1b-shard"])
    (146, 1235814400)
    """
    return sum(map(prod, shapes))
