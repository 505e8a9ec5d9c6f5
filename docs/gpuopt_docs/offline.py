"""A Sphinx extension that fails the build if a page would load anything from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc\s*=\s*["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref\s*=\s*["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""",
    re.IGNORECASE,
)


def setup(app: Any) -> dict[str, Any]:
    """Check the pages once they are written."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def loads_from_elsewhere(text: str) -> list[str]:
    """Return what a page or a style sheet would load over a network.

    >>> loads_from_elsewhere('<a href="https://example.org">x</a><img src="x.png">')
    []
    >>> loads_from_elsewhere('<script async src="https://example.org/x.js">')
    ['<script async src="https://']
    """
    return LOADS.findall(text)


def _check(app: Any, exception: Exception | None) -> None:
    if exception is not None:
        return
    for file in sorted(Path(app.outdir).rglob("*")):
        if file.suffix in (".html", ".css", ".svg"):
            found = loads_from_elsewhere(file.read_text(encoding="utf-8"))
            if found:
                raise ExtensionError(f"{file}: loads from elsewhere: {found[0]}")
