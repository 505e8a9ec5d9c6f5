"""Control flow graphs: the basic blocks that run for a whole chunk.

PTX and SASS are parsed into this common form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Graph = Sequence[Sequence[int]]
"""The successors of each block."""


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        guard: its predicate (``"@!%p1"``), or an empty string.
        opcode: with its modifiers: ``"add.rn.f32"``, ``"LDG.E.128"``.
        operands: their text.
    """

    guard: str
    opcode: str
    operands: str

    @property
    def name(self) -> str:
        """The opcode without modifiers."""
        return self.opcode.partition(".")[0]


@dataclass(frozen=True)
class Block:
    """A basic block.

    Attributes:
        label: its label, or an empty string.
        instructions: in order.
        target: the label that its last instruction may jump to, or an empty string.
        falls_through: whether the next block is a successor.
    """

    label: str
    instructions: tuple[Instruction, ...]
    target: str = ""
    falls_through: bool = True


@dataclass(frozen=True)
class Access:
    """One access to global memory by one thread.

    Attributes:
        store: whether it writes.
        guarded: whether it has a predicate.
        width: bytes.
    """

    store: bool
    guarded: bool
    width: int


@dataclass(frozen=True)
class MainPath:
    """The blocks that update a whole chunk, as opposed to a tensor's last, masked chunk.

    Attributes:
        loop: the blocks of the loop over the chunk; empty if it is fully unrolled.
        straight: the blocks that run once, and only for whole chunks: before the loop, peeled
            iterations, or the unrolled update.
        setup: the blocks that run before, for every chunk.
    """

    loop: tuple[int, ...]
    straight: tuple[int, ...]
    setup: tuple[int, ...]


def graph_of(blocks: Sequence[Block]) -> list[list[int]]:
    """Return the successors of each block.

    Raises:
        ValueError: the label of a jump does not exist.
    """
    places = {block.label: index for index, block in enumerate(blocks) if block.label}
    graph = []
    for index, block in enumerate(blocks):
        after = [index + 1] if block.falls_through and index + 1 < len(blocks) else []
        if block.target:
            if block.target not in places:
                raise ValueError(f"a jump to {block.target}, which is not there")
            after.append(places[block.target])
        graph.append(after)
    return graph


def without(graph: Graph, removed: Iterable[int]) -> list[list[int]]:
    """Return the graph without the edges to and from the removed blocks."""
    gone = set(removed)
    return [
        [] if index in gone else [other for other in after if other not in gone]
        for index, after in enumerate(graph)
    ]


def reachable(graph: Graph, start: Iterable[int]) -> set[int]:
    """Return the blocks that are reachable from ``start``, including ``start``.

    >>> sorted(reachable([[1], [2], [1], [0]], [1]))
    [1, 2]
    """
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        block = waiting.pop()
        if block not in found:
            found.add(block)
            waiting += graph[block]
    return found


def skipped(graph: Graph) -> set[int]:
    """Return the blocks that a single condition skips: their successor also runs without them.

    >>> skipped([[1, 2], [2], []]), skipped([[1, 3], [2], [3], []])
    ({1}, {1, 2})
    """
    backward = _reversed(graph)
    return {
        block
        for before in graph
        for first in before
        for end in before
        for block in _chain(graph, backward, first, end)
    }


def _chain(graph: Graph, backward: Graph, first: int, end: int) -> list[int]:
    """Return the blocks from ``first`` up to ``end``; empty unless they form a chain."""
    chain: list[int] = []
    block = first
    while block != end:
        after = set(graph[block])
        enters = bool(chain) and len(set(backward[block])) > 1
        if block in chain or enters or len(after) != 1:
            return []
        chain.append(block)
        (block,) = after
    return chain


def main_path(graph: Graph, main: Iterable[int], masked: Iterable[int]) -> MainPath:
    """Return the main path.

    Args:
        graph: the successors of each block; block 0 is the entry.
        main: the blocks with unconditional stores.
        masked: the blocks with conditional stores.

    Raises:
        ValueError: there is none, or it cannot be separated from the masked path.
    """
    alive = reachable(graph, [0])
    stores = alive & set(main)
    if not stores:
        raise ValueError("no store is without a mask: there is no main path")
    loops = {tuple(sorted(_loop(graph, block))) for block in stores} - {()}
    if len(loops) > 1:
        raise ValueError(f"the main path has {len(loops)} loops: their rounds cannot be told")
    loop = loops.pop() if loops else ()
    backward = _reversed(graph)
    before = alive & reachable(backward, stores) - set(loop)
    masked_too = reachable(backward, alive & set(masked))
    straight = before - masked_too
    if not stores <= straight | set(loop):
        raise ValueError("the main path is not apart from the masked one")
    return MainPath(loop, tuple(sorted(straight)), tuple(sorted(before - straight)))


def _loop(graph: Graph, block: int) -> set[int]:
    """Return the blocks on a cycle with ``block``; empty if there is none."""
    after = reachable(graph, graph[block])
    if block not in after:
        return set()
    return {other for other in after if block in reachable(graph, graph[other])}


def _reversed(graph: Graph) -> list[list[int]]:
    backward: list[list[int]] = [[] for _ in graph]
    for index, after in enumerate(graph):
        for other in after:
            backward[other].append(index)
    return backward
