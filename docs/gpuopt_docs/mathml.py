"""A Sphinx extension that converts equations to MathML when the pages are built.

Pages then need neither scripts nor fonts, and an invalid equation fails the build.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.errors import ExtensionError


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(tex: str, block: bool) -> str:
    """Return an equation as a ``<math>`` element.

    Raises:
        ExtensionError: the TeX has a mistake.
    """
    try:
        return _converter().convert_with_local_state(tex, displaystyle=block)
    except LatexError as error:
        raise ExtensionError(f"the equation {tex!r}: {error}") from error


@cache
def _converter() -> LatexToMathML:
    return LatexToMathML(fancy_error=False)


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode
