"""What the stubs of the drop-ins say: torch need not be installed."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DROP_INS = ROOT / "gpuopt" / "torch" / "classes.pyi"


@cache
def _classes() -> dict[str, ast.ClassDef]:
    tree = ast.parse(DROP_INS.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@cache
def slug(name: str) -> str:
    """Return the name of an optimizer's page, also where file systems ignore case.

    >>> slug("AdamW"), slug("RMSProp"), slug("RMSprop")
    ('adamw', 'rmsprop', 'rmsprop-torch')
    """
    alike = [other for other in _classes() if other.lower() == name.lower()]
    return name.lower() + ("-torch" if len(alike) > 1 and in_torch(name) else "")


def in_torch(name: str) -> bool:
    """Return whether torch.optim has an optimizer."""
    return f"torch.optim.{name}" in map(ast.unparse, _classes()[name].bases)


def drop_in_example(name: str) -> str:
    """Return the example of a drop-in's docstring."""
    written = ast.get_docstring(_classes()[name]) or ""
    return ">>>" + written.partition(">>>")[2].partition("\n\n")[0]
