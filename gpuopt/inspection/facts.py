"""The facts of a kernel: the costs of its code, from PTX and SASS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import flow, ptx, sass
from .cases import Case
from .code import Code, usage_of
from .sectors import Touched, by_block, distinct


@dataclass(frozen=True)
class Main:
    """The main path of an update, per element unless stated otherwise.

    Attributes:
        loaded: bytes; those that several threads of a warp load at once count once.
        stored: bytes, alike.
        asked: bytes that threads load and store, each for itself. A scale is the same for the
            threads that have its block: all ask for it, and it moves once.
        widths: bytes moved, by the width of the access; without those that threads share.
        instructions: executed in the main path.
        setup: instructions of a thread before the main path.
        share_of_setup: instructions of the setup per element.
        pipes: operations of each unit: fp32, fp64, special.
        in_flight: bytes that a thread loads before it waits for any.
    """

    loaded: float
    stored: float
    asked: float
    widths: dict[int, float]
    instructions: float
    setup: int
    share_of_setup: float
    pipes: dict[str, float]
    in_flight: int

    @property
    def total_bytes(self) -> float:
        """Loaded and stored."""
        return self.loaded + self.stored

    @property
    def total_instructions(self) -> float:
        """Including the setup."""
        return self.instructions + self.share_of_setup


@dataclass(frozen=True)
class Facts:
    """The facts of a compiled kernel.

    Attributes:
        case: which kernel.
        registers: per thread.
        local: bytes of local memory (stack) per thread.
        spills: instructions that use local memory.
        shared: bytes of shared memory per block, with those that CUDA reserves.
        barriers: instructions that make threads of a block wait for each other.
        threads: per block.
        elements: per block.
        length: instructions of its code, without subroutines.
        inexact: operations that are not exactly rounded.
        touched: the sectors of the accesses to elements.
        main: the main path; None if there is none, or it could not be identified.
        problem: why it could not be identified, or an empty string.
    """

    case: Case
    registers: int
    local: int
    spills: int
    shared: int
    barriers: int
    threads: int
    elements: int
    length: int
    inexact: tuple[str, ...]
    touched: tuple[Touched, ...]
    main: Main | None
    problem: str

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Facts:
        """Return the facts that `to_json` wrote."""
        main = data["main"]
        if main is not None:
            widths = {int(width): share for width, share in main["widths"].items()}
            main = Main(**{**main, "widths": widths})
        return Facts(
            **{
                **data,
                "case": Case.from_json(data["case"]),
                "inexact": tuple(data["inexact"]),
                "touched": tuple(Touched(**one) for one in data["touched"]),
                "main": main,
            }
        )


def facts_of(case: Case, code: Code) -> Facts:
    """Return the facts of the code of a case."""
    entry = ptx.parse(code.ptx)
    blocks = sass.parse(code.sass)
    usage = usage_of(code.usage)
    machine = [one for block in blocks for one in block.instructions]
    inexact = set(ptx.inexact(entry.instructions))
    seen = by_block(entry, code.threads)
    main, problem = None, ""
    if case.kernel == "update":
        try:
            main, unknown = read_main(entry, blocks, code.elements // code.threads, seen)
            inexact |= unknown
        except ValueError as error:
            problem = str(error)
    return Facts(
        case,
        usage.registers,
        usage.stack,
        sass.spills(machine),
        usage.shared + code.shared,
        sass.barriers(machine),
        code.threads,
        code.elements,
        sass.length(blocks),
        tuple(sorted(inexact)),
        distinct(seen),
        main,
        problem,
    )


def read_main(
    entry: ptx.Entry,
    blocks: Sequence[flow.Block],
    elements: int,
    seen: Sequence[Sequence[Touched]],
) -> tuple[Main, set[str]]:
    """Return the costs of the main path, and special functions besides division and square root.

    The number of iterations of the PTX loop is computed from its code. The assembler may unroll the
    loop by another factor but moves the same bytes, which gives the iterations of the SASS loop.

    Args:
        entry: the PTX.
        blocks: the SASS.
        elements: of a chunk, per thread.
        seen: the accesses of each block of the PTX.

    Raises:
        ValueError: the main path cannot be identified, or PTX and SASS disagree.
    """
    source = _weigh_ptx(entry, seen)
    machine = _weigh_sass(blocks, source.asked)
    instructions = machine.instructions
    main = Main(
        source.loaded / elements,
        source.stored / elements,
        source.asked / elements,
        _of_one_thread(machine.widths, source.shared, elements),
        instructions / elements,
        machine.setup,
        machine.setup / elements,
        {pipe: count / elements for pipe, count in sorted(machine.pipes.items())},
        machine.in_flight,
    )
    expected = Counter(RCP=source.names["div"] + source.names["rcp"], RSQ=source.names["sqrt"])
    unknown = {
        f"MUFU.{kind}" for kind, count in machine.functions.items() if count > expected[kind]
    }
    return main, unknown


def _of_one_thread(widths: Counter[int], shared: Counter[int], elements: int) -> dict[int, float]:
    """Return the bytes per element by width, without those that threads share.

    Raises:
        ValueError: threads share more bytes than move in accesses of a width.
    """
    if not shared <= widths:
        raise ValueError("threads share accesses in PTX that are not there in SASS")
    return {width: total / elements for width, total in sorted((widths - shared).items())}


# --- weighing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    loaded: float
    stored: float
    asked: int
    shared: Counter[int]
    names: Counter[str]


@dataclass(frozen=True)
class _Machine:
    widths: Counter[int]
    instructions: int
    setup: int
    pipes: Counter[str]
    functions: Counter[str]
    in_flight: int


def _weigh_ptx(entry: ptx.Entry, seen: Sequence[Sequence[Touched]]) -> _Source:
    blocks = entry.blocks
    graph = flow.graph_of(blocks)
    path = _path(graph, [ptx.accesses(block) for block in blocks])
    rounds = ptx.iterations(blocks, graph, path.loop) if path.loop else 0
    moved: dict[bool, float] = {False: 0, True: 0}
    asked, shared, names = 0, Counter[int](), Counter[str]()
    for index, weight in _weights(path, rounds):
        for access in seen[index]:
            moved[access.store] += weight * access.moved
            asked += weight * access.width
            shared[access.width] += weight * access.width * access.shared
        for one in blocks[index].instructions:
            names[one.name] += weight * (2 if "x2" in one.opcode else 1)
    return _Source(moved[False], moved[True], asked, +shared, names)


def _weigh_sass(blocks: Sequence[flow.Block], total: int) -> _Machine:
    graph = flow.without(flow.graph_of(blocks), sass.slow_paths(blocks))
    accesses = [sass.accesses(block.instructions) for block in blocks]
    path = _path(graph, accesses)
    rounds = _rounds(
        total,
        sum(access.width for index in path.straight for access in accesses[index]),
        sum(access.width for index in path.loop for access in accesses[index]),
    )
    widths: Counter[int] = Counter()
    pipes: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    instructions = 0
    for index, weight in _weights(path, rounds):
        own = blocks[index].instructions
        instructions += weight * len(own)
        for access in accesses[index]:
            widths[access.width] += weight * access.width
        for counter, counts in ((pipes, sass.pipes(own)), (functions, sass.special_functions(own))):
            for name, count in counts.items():
                counter[name] += weight * count
    body = [one for index in path.loop or path.straight for one in blocks[index].instructions]
    setup = sum(len(blocks[index].instructions) for index in path.setup)
    return _Machine(widths, instructions, setup, pipes, functions, sass.loads_in_flight(body))


def _path(graph: flow.Graph, accesses: Sequence[Sequence[flow.Access]]) -> flow.MainPath:
    skipped = flow.skipped(graph)
    main, masked = [], []
    for index, block in enumerate(accesses):
        stores = [index in skipped or one.guarded for one in block if one.store]
        if not all(stores):
            main.append(index)
        if any(stores):
            masked.append(index)
    return flow.main_path(graph, main, masked)


def _weights(path: flow.MainPath, rounds: int) -> list[tuple[int, int]]:
    return [(i, 1) for i in path.straight] + [(i, rounds) for i in path.loop]


def _rounds(total: int, straight: int, loop: int) -> int:
    if loop and (total - straight) % loop == 0:
        return (total - straight) // loop
    if not loop and straight == total:
        return 0
    raise ValueError(f"PTX moves {total} bytes per thread, SASS {straight} + {loop} per iteration")
