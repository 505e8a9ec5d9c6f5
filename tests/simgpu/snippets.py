"""Small PTX modules for the tests, and their launches over arrays."""

import numpy as np

from .memory import Region, only
from .operations import OPERATIONS
from .run import kernels
from .translate import width

REGISTERS = {"pred": "%p", "b16": "%rs", "b32": "%r", "b64": "%rd"}
"""The registers of every snippet: a hundred of each type; one of 16 bits holds a byte, too."""


def module(body, parameters, threads=1):
    """Return a module with a kernel `one`.

    Args:
        body: its instructions, an iterable of lines.
        parameters: the names of its parameters, 64 bits each.
        threads: of a block.
    """
    declared = ",\n".join(f"    .param .u64 {name}" for name in parameters)
    registers = [f".reg .{kind} {name}<100>;" for kind, name in REGISTERS.items()]
    lines = "\n".join(f"    {line}" for line in (*registers, *body, "ret;"))
    head = ".version 9.0\n.target sm_90\n.address_size 64\n"
    entry = f".visible .entry one(\n{declared}\n)\n.maxntid {threads}, 1, 1\n"
    return f"{head}{entry}{{\n{lines}\n}}\n"


def launch(text, arrays, blocks=1, threads=1, regions=None):
    """Launch the kernel `one` with the addresses of arrays, which is all that it may touch."""
    values = [np.uint64(a.ctypes.data).tobytes() for a in arrays]
    with only([Region.of(a) for a in arrays] if regions is None else regions):
        kernels(text)["one"].launch(blocks, threads, values)


def compute(opcodes, operands):
    """Run instructions of one signature on every element of some arrays of bits.

    Returns:
        the bits of the results, for each opcode.
    """
    operation = OPERATIONS[opcodes[0]]
    n, kind = len(operands[0]), bits_of(operation.result)
    results = [np.zeros(n, f"u{width(kind) // 8}") for _ in opcodes]
    names = [f"p{i}" for i in range(len(operands) + len(results))]
    body = ["mov.u32 %r99, %ctaid.x;"]
    inputs = []
    for i, wanted in enumerate(operation.operands):
        body += [*_place(names[i], bits_of(wanted)), *_load(i, wanted)]
        inputs.append(_register(wanted, i))
    for opcode, name in zip(opcodes, names[len(operands) :]):
        result = _register(operation.result, 50)
        body += [f"{opcode} {', '.join((result, *inputs))};", *_place(name, kind)]
        if operation.result == "pred":
            body.append("selp.b32 %r50, 1, 0, %p50;")
        body.append(f"st.global.{kind} [%rd98], {_register(kind, 50)};")
    launch(module(body, names), [*operands, *results], n)
    return dict(zip(opcodes, results))


def bits_of(kind):
    """Return what elements of a type are stored as; a predicate in 32 bits."""
    return "b32" if kind == "pred" else f"b{width(kind)}"


def _register(kind, number):
    held = "pred" if kind == "pred" else f"b{max(width(kind), 16)}"
    return f"{REGISTERS[held]}{number}"


def _place(name, kind):
    """Return what makes %rd98 the address of the element in an array."""
    yield f"ld.param.u64 %rd97, [{name}];"
    yield f"mad.wide.u32 %rd98, %r99, {width(kind) // 8}, %rd97;"


def _load(number, kind):
    yield f"ld.global.{bits_of(kind)} {_register(bits_of(kind), number)}, [%rd98];"
    if kind == "pred":
        yield f"setp.ne.b32 %p{number}, %r{number}, 0;"
