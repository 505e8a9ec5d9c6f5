"""PTX as text: the kernels of a module, with their parameters, registers and instructions."""

import re
from dataclasses import dataclass

from gpuopt.inspection.flow import Instruction


class UnknownPTX(ValueError):
    """PTX that the simulated device does not know; the message names it and its line."""


@dataclass(frozen=True)
class Statement(Instruction):
    """An instruction and where it stands; or a label, without an opcode.

    Attributes:
        line: in the PTX, from 1.
        label: its name, if it is one.
    """

    line: int
    label: str = ""

    @property
    def text(self):
        """The instruction as it was written."""
        return " ".join(filter(None, (self.guard, self.opcode, self.operands)))

    def unknown(self, why="is not known"):
        """Return the error that says so."""
        return UnknownPTX(f"PTX line {self.line}: {self.text}: {self.opcode} {why}")


@dataclass(frozen=True)
class Kernel:
    """An entry of a module.

    Attributes:
        name: of the entry.
        parameters: the type of each by name, in order.
        threads: the most that a block may have; the only number, if ``exactly``.
        exactly: whether no other number is allowed.
        registers: the type of each by its name without the number: ``{"%rd": "b64"}``.
        shared: the bytes of each piece of shared memory by name; 0: as many as a launch says.
        statements: instructions and labels.
    """

    name: str
    parameters: dict
    threads: int
    exactly: bool
    registers: dict
    shared: dict
    statements: tuple


_NOISE = re.compile(r"//[^\n]*|/\*.*?\*/|^[ \t]*\.(?:loc|file)\b[^\n]*", re.DOTALL | re.MULTILINE)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\((.*?)\)(.*?)^\{(.*?)^\}", re.DOTALL | re.MULTILINE)
_PARAMETER = re.compile(r"\.param\s+\.(\w+)[^,]*?([\w$]+)\s*(?:,|$)")
_THREADS = re.compile(r"\.(req|max)ntid\s+(\d+)(?:,\s*1)*\s*$", re.MULTILINE)
_SHARED = re.compile(r"\.shared\s+\.align\s+\d+\s+\.b8\s+([\w$]+)\[(\d*)\]")
_STATEMENT = re.compile(r"\s*(?:([$\w]+):|([^;]+);)")
_REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(%[a-z]+)<\d+>$")
_INSTRUCTION = re.compile(r"(@!?%\w+)?\s*([a-z][\w.:]*)\s*(.*)$")


def parse(text):
    """Return the kernels of a module by name.

    Raises:
        UnknownPTX: something in it is not known.
    """
    text = _NOISE.sub(lambda noise: "\n" * noise.group().count("\n"), text)
    return {entry.group(1): _kernel(text, entry) for entry in _ENTRY.finditer(text)}


def _kernel(text, entry):
    name, parameters, directives, body = entry.groups()
    kinds = {name: kind for kind, name in _PARAMETER.findall(" ".join(parameters.split()))}
    threads = _THREADS.search(directives)
    if threads is None:
        raise UnknownPTX(f"{name}: how many threads a block has is not said in one dimension")
    registers, statements = {}, []
    for found in _STATEMENT.finditer(body):
        place = entry.start(4) + found.start(1 if found.group(1) else 2)
        line = text.count("\n", 0, place) + 1
        label, words = found.group(1) or "", " ".join((found.group(2) or "").split())
        if declared := _REGISTERS.match(words):
            registers[declared.group(2)] = declared.group(1)
        elif not words.startswith((".pragma", ".shared")):
            statements.append(_statement(words, line, label))
    shared = {name: int(size or 0) for name, size in _SHARED.findall(text)}
    exactly, most = threads.group(1) == "req", int(threads.group(2))
    return Kernel(name, kinds, most, exactly, registers, shared, tuple(statements))


def _statement(words, line, label):
    if label:
        return Statement("", "", "", line, label)
    found = _INSTRUCTION.match(words)
    if found is None:
        raise UnknownPTX(f"PTX line {line}: {words}: this is not known")
    guard, opcode, operands = found.groups()
    return Statement(guard or "", opcode, operands, line)
