"""A kernel as a C function of one thread: a line of C for each instruction."""

import re
from functools import cache
from pathlib import Path

from .operations import OPERATIONS, c_name, definition, needed

DEVICE = Path(__file__).with_name("device.h")

_KIND = r"((?:[bus](?:8|16)|[busf](?:32|64)))$"
_MEMORY = re.compile(r"(ld|st)\.(global|shared)(?:\.v([24]))?\." + _KIND)
_SHUFFLE = "shfl.sync.bfly.b32"
_REDUCTIONS = {
    "redux.sync.add.s32": ("u32", "sum_of_warp"),
    "redux.sync.or.b32": ("u32", "bits_of_warp"),
    "redux.sync.min.s32": ("s32", "least_of_warp"),
    "redux.sync.max.s32": ("s32", "most_of_warp"),
    "redux.sync.max.f32": ("f32", "max_of_warp"),
}
"""The type of what a warp makes of its threads' values, and the function that does."""
_BARRIER = "bar.sync"
_OF_THREE = ("max.f32", "min.f32", "max.NaN.f32", "min.NaN.f32")
_COMPARED_PAIRS = re.compile(r"(setp\.\w+\.b?f16)x2$")
_PARAMETER = re.compile(r"ld\.param\." + _KIND)
_OPERAND = re.compile(r"\{[^}]*\}|\[[^]]*\]|[^\s,{}\[\]][^,{}\[\]]*")
_ADDRESS = re.compile(r"\[\s*([%\w$]+)\s*(?:\+\s*(-?\d+)\s*)?\]$")
_INTEGER = re.compile(r"(-?(?:0x[0-9A-Fa-f]+|\d+))U?$")
_REAL = re.compile(r"0([fd])([0-9A-Fa-f]+)$")
_SPECIAL = {f"%{name}.x": name for name in ("tid", "ctaid", "ntid", "nctaid")}


@cache
def width(kind):
    """Return how many bits a type has; 8 for what holds a predicate."""
    return 8 if kind == "pred" else int(re.sub(r"\D", "", kind))


def offsets(kernel):
    """Return where each parameter lies among the bytes of all, and how many these are."""
    found, end = {}, 0
    for name, kind in kernel.parameters.items():
        size = width(kind) // 8
        found[name] = -(-end // size) * size
        end = found[name] + size
    return found, end


def translate(kernel):
    """Return the C of a kernel.

    Raises:
        UnknownPTX: it has an instruction that is not known.
    """
    writer = _Writer(kernel)
    lines = [writer.statement(one) for one in kernel.statements]
    opcodes = {_of_one(one.opcode) for one in kernel.statements} & set(OPERATIONS)
    called = dict.fromkeys(o for opcode in sorted(opcodes) for o in needed(opcode))
    fixed, at_launch = shared_bytes(kernel)
    noise = "(u64)0xa5a5a5a5a5a5a5a5"  # what an instruction reads before another wrote it
    declared = (f"u{width(kind)} {name} = {noise};" for name, kind in writer.registers.items())
    return "\n".join(
        (
            f"#define SITES {writer.sites}",
            f"#define WAITS {int(writer.waits)}",
            f"#define SHARED {fixed if at_launch is None else at_launch}",
            DEVICE.read_text(encoding="utf-8"),
            *(definition(opcode) for opcode in called),
            "static int thread(Run* run, const u8* parameters, u32 tid, u32 ctaid, u32 ntid,",
            "    u32 nctaid)\n{\n    u32 jumps = 0;",
            *declared,
            *lines,
            "return 1;\n}\n",
        )
    )


def shared_bytes(kernel):
    """Return the bytes of shared memory, and where what a launch asks for begins, or None."""
    places, end = shared_places(kernel)
    open_ends = [places[name] for name, size in kernel.shared.items() if not size]
    return end, open_ends[0] if open_ends else None


def shared_places(kernel):
    """Return where each piece of shared memory begins, and where the last one ends.

    What has no size of its own comes last.
    """
    places, end = {}, 0
    for name, size in sorted(kernel.shared.items(), key=lambda piece: not piece[1]):
        places[name] = -(-end // 16) * 16
        end = places[name] + size
    return places, end


class _Writer:
    """Writes the statements of one kernel.

    Attributes:
        registers: the type of each that was met.
        sites: how many instructions that access memory were met.
        waits: whether threads wait for each other, or have memory together.
    """

    def __init__(self, kernel):
        self._kernel = kernel
        self._offsets, _ = offsets(kernel)
        self._shared, _ = shared_places(kernel)
        self.registers, self.sites, self.waits = {}, 0, False

    def statement(self, one):
        """Return the C of an instruction or a label."""
        if one.label:
            return f"{_label(one.label)}:;"
        line = f"{{ {self._instruction(one)} }}  // {one.line}"
        if not one.guard:
            return line
        guard = self._value(one, one.guard.lstrip("@!"), "pred")
        return f"if ({'!' if '!' in one.guard else ''}{guard}) {line}"

    def _instruction(self, one):
        operands = [operand.strip() for operand in _OPERAND.findall(one.operands)]
        if one.opcode == "ret":
            return "return 1;"
        if one.opcode in ("bra", "bra.uni"):
            return f"JUMP({_label(one.operands)}, {one.line});"
        if memory := _MEMORY.match(one.opcode):
            return self._memory(one, operands, *memory.groups())
        if parameter := _PARAMETER.match(one.opcode):
            return self._parameter(one, operands, parameter.group(1))
        if one.opcode in (_SHUFFLE, *_REDUCTIONS, _BARRIER):
            return self._exchange(one, operands)
        if one.name == "mov" and "{" in one.operands:
            return self._move(one, operands)
        if _of_one(one.opcode) not in OPERATIONS:
            raise one.unknown()
        if _of_one(one.opcode) != one.opcode:
            return self._compared_pairs(one, operands)
        operation = OPERATIONS[one.opcode]
        result, *operands = operands
        if one.opcode in _OF_THREE and len(operands) == 3:
            return self._of_three(one, result, operands)
        if len(operands) != len(operation.operands):
            raise one.unknown(f"takes {len(operation.operands)} operands")
        pairs = zip(operands, operation.operands)
        converts = one.name == "cvt"  # whose integers may lie in wider registers
        values = (
            self._value(one, o, kind, wider=converts and kind[0] in "su") for o, kind in pairs
        )
        called = f"{c_name(one.opcode)}({', '.join(values)})"
        return self._assign(one, result, operation.result, called, wider=one.name == "cvt")

    def _of_three(self, one, result, operands):
        """Return the instruction on two operands, and again on what that gives and the third."""
        a, b, c = (self._value(one, operand, "f32") for operand in operands)
        name = c_name(one.opcode)
        return self._assign(one, result, "f32", f"{name}({name}({a}, {b}), {c})")

    def _compared_pairs(self, one, operands):
        """Return comparisons of both halves, each of which has a predicate, the lower one first."""
        a, b = (self._value(one, operand, "u32") for operand in operands[1:])
        called = c_name(_of_one(one.opcode))
        return " ".join(
            self._assign(one, result, "pred", f"{called}((u16)({a} >> {n}), (u16)({b} >> {n}))")
            for result, n in zip(operands[0].split("|"), (0, 16), strict=True)
        )

    def _exchange(self, one, operands):
        """Return what waits for the other threads, and may take a number from them."""
        self.waits = True
        if one.opcode == _BARRIER:
            if operands != ["0"]:
                raise one.unknown("knows the barrier 0 of the whole block")
            return f"WAIT({one.line});"
        result, _, predicate = operands[0].partition("|")
        given = self._value(one, operands[1], "u32")
        mask = self._value(one, operands[-1], "u32")
        parts = [f"EXCHANGE({given}, {mask}, {one.line});"]
        if one.opcode in _REDUCTIONS:
            kind, function = _REDUCTIONS[one.opcode]
            return " ".join((*parts, self._assign(one, result, kind, f"{function}(held, tid)")))
        distance, ends = (self._value(one, operand, "u32") for operand in operands[2:4])
        parts.append(f"if ({ends} != 31 || {distance} > 31) return refuse(run, UNUSUAL, 0, 0,")
        parts.append(f"{one.line}); {self._assign(one, result, 'u32', f'held[tid ^ {distance}]')}")
        if predicate:
            parts.append(self._assign(one, predicate, "pred", "1"))
        return " ".join(parts)

    def _memory(self, one, operands, name, space, lanes, kind):
        """Return a load or a store of one element or of a few."""
        address, elements = operands[::-1] if name == "ld" else operands
        elements = [e.strip() for e in elements.strip("{}").split(",")]
        if len(elements) != int(lanes or 1):
            raise one.unknown(f"has {len(elements)} elements")
        register, offset = self._address(one, address)
        held = self._kernel.registers.get(register.rstrip("0123456789"), "b64")
        place = self._value(one, register, f"u{width(held)}")
        at, step = f"{place} + {offset}", width(kind) // 8
        store = int(name == "st")
        self.sites += 1
        bytes_ = step * len(elements)
        parts = [f"ACCESS({self.sites}, {at}, {bytes_}, {store}, {one.line});"]
        if space == "shared":
            self.waits = True
            parts = [f"ACCESS_SHARED({at}, {bytes_}, {one.line});"]
        for i, element in enumerate(elements):
            place = f"at + {i * step}"
            if store:
                value = self._value(one, element, kind, wider=True)
                parts.append(f"store_{kind}({place}, {value});")
            else:
                parts.append(self._assign(one, element, kind, f"load_{kind}({place})", wider=True))
        return " ".join(parts)

    def _parameter(self, one, operands, kind):
        name, offset = self._address(one, operands[1])
        if offset != "0" or width(self._kernel.parameters.get(name, "u8")) != width(kind):
            raise one.unknown("reads no whole parameter")
        place = f"load_{kind}((u64)(parameters + {self._offsets[name]}))"
        return self._assign(one, operands[0], kind, place)

    def _move(self, one, operands):
        """Return a move between a register and several that hold its parts, the lowest first."""
        kind = one.opcode.partition(".")[2]
        packs = operands[1].startswith("{")
        parts = [part.strip() for part in operands[packs].strip("{}").split(",")]
        bits = width(kind) // len(parts)
        if packs:
            values = (self._value(one, part, f"b{bits}") for part in parts)
            whole = " | ".join(f"(u64){v} << {bits * i}" for i, v in enumerate(values))
            return self._assign(one, operands[0], kind, f"as_{kind}({whole})")
        whole = f"const u64 whole = {self._value(one, operands[1], kind)};"
        places = enumerate(parts)
        each = (self._assign(one, p, f"b{bits}", f"whole >> {bits * i}") for i, p in places)
        return " ".join((whole, *each))

    def _address(self, one, operand):
        found = _ADDRESS.match(operand)
        if found is None:
            raise one.unknown(f"has an address that is not known, {operand}")
        return found.group(1), found.group(2) or "0"

    def _register(self, one, operand):
        """Return the type of a register, or None if it is none."""
        kind = self._kernel.registers.get(operand.rstrip("0123456789"))
        if kind is not None:
            self.registers[operand[1:]] = kind
        return kind

    def _value(self, one, operand, kind, wider=False):
        """Return the value of a register or a literal; ``wider``: its low bits will do."""
        held = self._register(one, operand)
        if held and (width(held) == width(kind) or (wider and width(held) > width(kind))):
            return f"as_{kind}({operand[1:]})"
        if operand in self._shared and width(kind) in (32, 64):
            return f"as_{kind}({self._shared[operand]})"
        if operand in _SPECIAL and width(kind) == 32:
            return f"as_{kind}({_SPECIAL[operand]})"
        if (integer := _INTEGER.match(operand)) and not kind.startswith("f"):
            return f"as_{kind}({int(integer.group(1), 0) % 2 ** width(kind):#x}ull)"
        if (real := _REAL.match(operand)) and width(kind) == {"f": 32, "d": 64}[real.group(1)]:
            return f"as_{kind}(0x{real.group(2)}ull)"
        raise one.unknown(f"takes {operand} for a value of type {kind}")

    def _assign(self, one, operand, kind, value, wider=False):
        """Return an assignment to a register; ``wider``: one of more bits is extended to."""
        if operand == "_":
            return ""
        held = self._register(one, operand)
        if held and width(held) == width(kind):
            return f"{operand[1:]} = of_{kind}({value});"
        if held and wider and width(held) > width(kind) and not kind.startswith("f"):
            return f"{operand[1:]} = {value};"
        raise one.unknown(f"writes a value of type {kind} to {operand}")


def _of_one(opcode):
    """Return the opcode for one half of what compares pairs; any other is its own."""
    return _COMPARED_PAIRS.sub(r"\1", opcode)


def _label(name):
    return name.strip().replace("$", "_")
