"""A page for each optimizer, and a table of all, written from the definitions of gpuopt.rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gpuopt.rules.definitions import DEFINITIONS, Definition
from gpuopt.rules.options import Option
from gpuopt.rules.registry import Rule

from . import costs
from .pictures import PARTS, caption
from .stubs import drop_in_example, in_torch, slug

INTRODUCTION = """All are in `gpuopt`, over plain arrays, and in `gpuopt.torch`, as drop-ins for
torch.optim, with the same names, arguments and defaults. Where torch.optim has one, they are
torch's ([Names across the two APIs](../names.md)). *States* counts those of an element, *bytes*
what a step moves for it: in float32, by default."""


def write_pages(folder: Path) -> None:
    """Write the pages into a folder: ``index.md`` and one for each optimizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for definition in DEFINITIONS.values():
        text = page(definition)
        (folder / f"{slug(definition.name)}.md").write_text(text, encoding="utf-8")
    (folder / "index.md").write_text(index(DEFINITIONS.values()), encoding="utf-8")


# --- all optimizers ------------------------------------------------------------------------------


def index(definitions: Iterable[Definition]) -> str:
    """Return the page of all optimizers."""
    found = sorted(definitions, key=lambda definition: definition.name.lower())
    head = ("", "", "year", "states", "bytes", "torch.optim")
    files = "\n".join(slug(definition.name) for definition in found)
    return (
        "\n\n".join(
            (
                "# Optimizers",
                INTRODUCTION,
                table(head, map(_index_row, found)),
                f"```{{toctree}}\n:hidden:\n\n{files}\n```",
            )
        )
        + "\n"
    )


def _index_row(definition: Definition) -> Sequence[str]:
    rule = definition.rule_for(definition.defaults)
    moved = next(costs.costs(rule)).moved
    return (
        f"[{definition.name}]({slug(definition.name)}.md)",
        in_markdown(definition.summary),
        re.findall(r"\d{4}", definition.source)[0],
        str(len(rule.states)),
        f"{moved:g}",
        "yes" if in_torch(definition.name) else "",
    )


# --- one optimizer -------------------------------------------------------------------------------


def page(definition: Definition) -> str:
    """Return the page of an optimizer."""
    parts = [
        f"# {definition.name}",
        in_markdown(definition.summary),
        equation(definition.equation),
        *(in_markdown(text) for text in definition.remarks.strip().split("\n\n") if text.strip()),
        f"Source: {in_markdown(definition.source)}.",
        picture(definition),
        *_example(definition),
        *_arguments(definition),
        *_costs(definition),
    ]
    return "\n\n".join(parts) + "\n"


def equation(tex: str) -> str:
    r"""Return the equations of a definition, each in a line of its own.

    >>> print(equation(r"v = 2, \quad p = p - v"))
    $$
    \begin{aligned}
    v &= 2 \\
    p &= p - v
    \end{aligned}
    $$
    """
    lines = re.split(r",?\s*\\quad\s*", " ".join(tex.split()))
    return "$$\n\\begin{{aligned}}\n{}\n\\end{{aligned}}\n$$".format(
        " \\\\\n".join(_aligned(line) for line in lines)
    )


def _aligned(line: str) -> str:
    return line.replace("=", "&=", 1) if "=" in line else f"&{line}"


def in_markdown(text: str) -> str:
    """Return a remark of a docstring in Markdown; optimizers link to their pages.

    >>> in_markdown("`SGD` has :math:`v = 0`, ``v``; and `step`.")
    '[SGD](sgd.md) has $v = 0$, `v`; and `step`.'
    """
    text = " ".join(text.split())
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    names = "|".join(map(re.escape, DEFINITIONS))
    return re.sub(rf"`({names})`", lambda m: f"[{m[1]}]({slug(m[1])}.md)", text)


def picture(definition: Definition) -> str:
    """Return the picture, in the colours of the page, with its caption."""
    said = caption(definition)
    shown = [
        f"```{{image}} pictures/{slug(definition.name)}-{part}-{theme}.svg\n"
        f":class: only-{theme}\n:alt: {said}\n```"
        for part in PARTS
        for theme in ("light", "dark")
    ]
    return "\n\n".join((":::{container} pictures", *shown, ":::", f"{{.caption}}\n{said}"))


def _example(definition: Definition) -> Iterator[str]:
    name = definition.name
    yield "## Example"
    yield "Over arrays:"
    arrays = f">>> import numpy as np\n>>> from gpuopt import {name}\n{definition.example.strip()}"
    yield f"```python\n{arrays}\n```"
    if in_torch(name):
        yield f"As a drop-in, a subclass of `torch.optim.{name}`:"
    else:
        yield "As a `torch.optim.Optimizer`:"
    yield f"```python\n{drop_in_example(name)}\n```"


def _arguments(definition: Definition) -> Iterator[str]:
    yield "## Arguments"
    rows = [_argument(definition, option) for option in definition.options]
    yield table(("argument", "default", ""), rows)
    yield (
        "`params` comes first. Arguments with a `*` are keyword-only, and so are `state_dtype` "
        "and the options of [the tail](../tail.md)."
    )


def _argument(definition: Definition, option: Option) -> Sequence[str]:
    star = "\\*" if option.name in definition.keyword_only else ""
    return (f"`{option.name}`{star}", f"`{option.default!r}`", in_markdown(option.description))


def _costs(definition: Definition) -> Iterator[str]:
    yield "## States and bytes"
    yield (
        "Bytes per element: *moved* is what a step reads and writes of parameters, gradients and "
        "states; *kept* is the size of the states."
    )
    groups = costs.alike(definition)
    for rules in groups:
        states = ", ".join(_state(rules[0], name) for name in rules[0].states) or "none"
        which = _which(definition, rules) if len(groups) > 1 else "States"
        yield f"{which}: {states}."
        head = ("parameters", "states", "moved", "kept")
        rows = [
            (c.param, c.state_dtype or "float32", f"{c.moved:g}", f"{c.kept:g}")
            for c in costs.costs(rules[0])
        ]
        yield table(head, rows if rules[0].states else _without_states(rows))
    carried = [name for name in definition.carried_names]
    if carried:
        names = ", ".join(f"`{name}`" for name in sorted(carried))
        yield f"Each tensor also carries {names}, in float64."


def _without_states(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    return [(param, "none", moved, kept) for param, _, moved, kept in rows[::3]]


def _state(rule: Rule, name: str) -> str:
    notes = {
        "always float32": name in rule.wide,
        "not in 8 bits": name in rule.not_in_8_bits,
        "not in float16": name in rule.not_in_float16,
        "read, not written": name in rule.constant,
        "starts as the parameter": name in rule.copies,
    }
    found = ", ".join(note for note, holds in notes.items() if holds)
    return f"`{name}`" + (f" ({found})" if found else "")


def _which(definition: Definition, rules: Sequence[Rule]) -> str:
    """Return the fewest options that select one of some rules."""
    names = {rule.name for rule in rules}
    keys = [key for key, rule in definition.rules.items() if rule in names]
    key = min(keys, key=sum)
    chosen = [f"`{name}`" for name, is_set in zip(definition.choices, key) if is_set]
    return f"With {' and '.join(chosen)}" if chosen else "By default"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
