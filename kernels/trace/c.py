"""Print a traced rule, and its coefficients, as readable C++.

The statements are the operations of the trace in order. A value that is used once is inlined, with
the parentheses that preserve the order. Nothing is contracted, reordered or folded, so the results
have the bits of the NumPy function.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from ..table import Update
from .coefficients import trace_coefficients
from .operations import COMPARISONS, ROUNDINGS, Operation, Trace, trace

WIDTH = 100
"""Maximum columns of a line that can be wrapped."""

LONGEST = 72
"""Maximum characters of an expression; beyond, operands become variables."""

INDENT = "    "
_NO_BREAK = "\u00a0"

_KEYWORDS = """
    alignas alignof and_eq asm auto bitand bitor bool case catch char char16_t char32_t compl
    const const_cast constexpr decltype default delete do double dynamic_cast enum explicit
    export extern false float friend goto inline int linux long mutable namespace new noexcept
    not_eq nullptr operator or_eq private protected public register reinterpret_cast short
    signed sizeof static static_assert static_cast struct switch template this thread_local
    throw true typedef typeid typename union unix unsigned using virtual void volatile wchar_t
    xor xor_eq
"""
_CALLED = """
    T coefficients exponent_of fabs infinity inverse_exponent_of join_split16 maximum minimum
    new_carried power quotient real_power round_bfloat16 round_float16 split16_high split16_low
    sqrt stochastic_bfloat16 stochastic_bfloat16_high stochastic_code_0 stochastic_code_1
    stochastic_code_2 stochastic_code_3 stochastic_float16
"""
RESERVED = frozenset((*_KEYWORDS.split(), *_CALLED.split()))
"""Names that are valid in a rule, but are taken in the generated C++."""

_ATOM, _UNARY, _PRODUCT, _SUM, _COMPARISON, _CHOICE = range(6)
_BINARY = {
    "+": ("+", _SUM),
    "-": ("-", _SUM),
    "*": ("*", _PRODUCT),
    "divide": ("/", _PRODUCT),
    **{name: (name, _COMPARISON) for name in COMPARISONS},
}
_CALLS = {"sqrt": "sqrt", "abs": "fabs", "maximum": "maximum", "minimum": "minimum"}
_CALLS |= {"power": "power", "real_power": "real_power", **{name: name for name in ROUNDINGS}}


def update_function(update: Update, name: str) -> str:
    """Return the source of a C++ function template that updates one element in place.

    Args:
        update: the composed update.
        name: the name of the function.
    """
    lists = ("p", "g", *update.lists[2:])
    read = [lists[i] for i in update.read]
    elements = [f"element{stream or ''}" for stream in update.random_streams]
    inputs = (*read, *elements, *update.coefficient_names)
    unread = [lists[i] for i in update.written if i not in update.read]
    watched = [f"seen_{name}" for name in update.watched_names]
    spelt = list(_spellings((*inputs, *unread, *watched)).values())
    shown = {f"a{i}": name for i, name in enumerate(spelt[: len(inputs)])}
    traced = trace(update.function, tuple(shown))
    of_row = dict(zip(update.read, spelt))
    others = iter(spelt[len(inputs) :])
    of_row.update((i, next(others)) for i in update.written if i not in update.read)
    seen = list(others)
    written = [of_row[i] for i in update.written]
    fresh = {x: _distinct(f"new_{x}", spelt) for x in written}
    outputs = {r: fresh[x] for r, x in zip(traced.results, written) if r not in shown}
    printer = _Printer(traced, shown, outputs, "T", spelt)
    body, last = list(printer.statements()), []
    results = traced.results[len(written) :]
    body += [f"{x} = {printer.text(result)};" for x, result in zip(seen, results)]
    for value, result in zip(written, traced.results):
        source = printer.text(result)
        if result in shown and source != value:  # an input could be overwritten before it is read
            body.append(f"const T {fresh[value]} = {source};")
            source = fresh[value]
        if source != value:
            last.append(f"{value} = {source};")
    rows = sorted(of_row)
    signature = [f"T& {of_row[i]}" if i in update.written else f"T {of_row[i]}" for i in rows]
    signature += [f"T& {x}" for x in seen]
    of_elements = len(read) + len(elements)
    signature += [f"Element {x}" for x in spelt[len(read) : of_elements]]
    signature += [f"T {x}" for x in spelt[of_elements : len(inputs)]]
    return "template <typename T>\n" + _function(name, signature, [*body, *last])


def encode_function(update: Update, name: str) -> str:
    """Return the source of a C++ function template that encodes one element, in place.

    Args:
        update: the composed update.
        name: the name of the function.
    """
    states = [update.lists[row] for row, _ in update.blocked]
    scales = [update.lists[row] for _, row in update.blocked]
    elements = [f"element{stream or ''}" for stream in update.encode_streams]
    names = (*states, *scales, *elements, *update.encode_coefficients)
    shown = _spellings(names)
    spelt = list(shown.values())
    traced = trace(update.encode_function, tuple(shown))
    fresh = [_distinct(f"new_{x}", spelt) for x in spelt[: len(states)]]
    printer = _Printer(traced, shown, dict(zip(traced.results, fresh)), "T", spelt)
    body = [*printer.statements(), *(f"{x} = {new};" for x, new in zip(spelt, fresh))]
    kinds = ["T&"] * len(states) + ["T"] * len(scales) + ["Element"] * len(elements)
    kinds += ["T"] * len(update.encode_coefficients)
    signature = [f"{kind} {x}" for kind, x in zip(kinds, spelt)]
    return "template <typename T>\n" + _function(name, signature, body)


def coefficients_function(update: Update, name: str) -> str:
    """Return the source of a C++ function that computes a tensor's coefficients in double.

    It also computes the carried numbers of the next step, if the rule has any.

    Args:
        update: the composed update.
        name: the name of the function.
    """
    shown = _spellings(("step", *update.carried_names, *update.option_names))
    names = tuple(shown)
    traced = trace_coefficients(update.coefficients_function, names, step=names[0])
    printer = _Printer(traced, shown, {}, "double")
    body = list(printer.statements())
    targets = {
        **{f"coefficients[{i}]": name for i, name in enumerate(update.coefficient_names)},
        **{f"new_carried[{i}]": name for i, name in enumerate(update.carried_names)},
    }
    for result, (target, meant) in zip(traced.results, targets.items()):
        source = printer.text(result)
        note = "" if source == meant else f"  // {spelling(meant)}"
        body.append(f"{target} = {source};{note}")
    pointers = ["double* coefficients", *["double* new_carried"] * bool(update.carried_names)]
    signature = [*(f"double {x}" for x in shown.values()), *pointers]
    return _function(name, signature, body)


def spelling(name: str) -> str:
    r"""Return a Python name as a valid C++ name.

    >>> spelling("lr"), spelling("double"), spelling("\u03b2")
    ('lr', 'double_', 'u03b2')
    """
    plain = "".join(c if c.isascii() else f"u{ord(c):04x}" for c in name)
    return f"{plain}_" if plain in RESERVED else plain


def _spellings(names: Sequence[str]) -> dict[str, str]:
    """Return a distinct C++ name for each value, by its name in the trace."""
    found: dict[str, str] = {}
    for i, name in enumerate(names):
        found[f"a{i}"] = _distinct(spelling(name), found.values())
    return found


def _distinct(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _function(name: str, parameters: Sequence[str], body: Sequence[str]) -> str:
    unbreakable = (parameter.replace(" ", _NO_BREAK) for parameter in parameters)
    text = textwrap.fill(
        ", ".join(unbreakable) + ")",
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
    )
    statements = [INDENT + statement for statement in body]
    head = (f"__device__ void {name}(", text.replace(_NO_BREAK, " "), "{")
    return "\n".join((*head, *statements, "}")) + "\n"


class _Printer:
    """The expressions of a trace: variables, or inlined where they are used."""

    def __init__(
        self,
        traced: Trace,
        shown: Mapping[str, str],
        outputs: Mapping[str, str],
        number: str,
        taken: Collection[str] = (),
    ) -> None:
        """Prepare to print.

        Args:
            traced: the operations.
            shown: the C++ names of the arguments.
            outputs: the C++ names of results that become variables.
            number: the type of everything but masks.
            taken: other names in use.
        """
        self._traced, self._outputs, self._number = traced, outputs, number
        self._masks = {o.result for o in traced.operations if o.name in COMPARISONS}
        self._uses = Counter(x for o in traced.operations for x in o.operands)
        self._uses.update(traced.results)
        self._known = {name: (text, _ATOM) for name, text in shown.items()}
        self._nested: set[str] = set()
        self._taken = {*shown.values(), *outputs.values(), *taken}

    def statements(self) -> Iterator[str]:
        """Yield declarations of values that are used twice, are results, or are long."""
        for operation in self._traced.operations:
            yield from self._divided(operation)
            name = operation.result
            self._known[name] = self._expression(operation)
            self._nested.add(name)
            if self._uses[name] > 1 or name in self._outputs:
                yield self._declared(name)

    def text(self, name: str) -> str:
        """Return the expression of a value."""
        return self._known[name][0]

    def _divided(self, operation: Operation) -> Iterator[str]:
        """Declare the longest operands until the expression is short enough."""
        while len(self._expression(operation)[0]) > LONGEST:
            nested = [str(x) for x in operation.operands if x in self._nested]
            if not nested:
                return
            yield self._declared(max(nested, key=lambda name: len(self.text(name))))

    def _declared(self, name: str) -> str:
        number = "bool" if name in self._masks else self._number
        shown = self._outputs.get(name) or self._free_name()
        statement = f"const {number} {shown} = {self.text(name)};"
        self._known[name] = (shown, _ATOM)
        self._nested.discard(name)
        return statement

    def _free_name(self) -> str:
        name = next(n for i in range(len(self._taken) + 1) if (n := f"t{i}") not in self._taken)
        self._taken.add(name)
        return name

    def _expression(self, operation: Operation) -> tuple[str, int]:
        """Return the text of an operation, and its precedence."""
        name, operands = operation.name, operation.operands
        if name == "number":
            return self._operand(operands[0], _CHOICE), _UNARY
        if name in _BINARY:
            sign, level = _BINARY[name]
            left, right = (_SUM, _SUM) if level == _COMPARISON else (level, level - 1)
            a, b = self._operand(operands[0], left), self._operand(operands[1], right)
            return f"{a} {sign} {b}", level
        if name == "-x":
            return f"-{self._operand(operands[0], _ATOM)}", _UNARY
        if name == "where":
            condition, a, b = (self._operand(x, _COMPARISON) for x in operands)
            return f"{condition} ? {a} : {b}", _CHOICE
        arguments = ", ".join(self._operand(x, _CHOICE) for x in operands)
        return f"{_CALLS[name]}({arguments})", _ATOM

    def _operand(self, operand: str | float, loosest: int) -> str:
        text, level = self._known[operand] if isinstance(operand, str) else self._literal(operand)
        return text if level <= loosest else f"({text})"

    def _literal(self, value: float) -> tuple[str, int]:
        digits = repr(float(value)) if math.isfinite(value) else f"{'-' * (value < 0)}infinity()"
        if self._number != "double":
            return f"{self._number}({digits})", _ATOM
        return digits, _UNARY if digits.startswith("-") else _ATOM
