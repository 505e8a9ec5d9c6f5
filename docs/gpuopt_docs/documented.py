"""A Sphinx extension that documents a source file without importing it.

``.. documented:: gpuopt/torch/in_backward.py StepInBackward`` is autodoc for modules whose imports,
torch above all, need not be installed. ``:members:`` names the methods.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
Documented = ast.ClassDef | ast.FunctionDef


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("documented", DocumentedDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class DocumentedDirective(SphinxDirective):
    """Documents a class or a function as autodoc would."""

    required_arguments = 2
    option_spec: ClassVar[dict[str, Any]] = {"members": str.split, "module": str}

    def run(self) -> list[nodes.Node]:
        """Return the nodes for the docstrings."""
        file, name = self.arguments
        self.env.note_dependency(str(ROOT / file))
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = _named(tree.body, name)
        module = self.options.get("module", "gpuopt.torch")
        lines = [f".. py:module:: {module}\n   :no-index:", *self._described(found)]
        for member in self.options.get("members", []):
            described = "\n\n".join(self._described(_named(getattr(found, "body", []), member)))
            lines.append(textwrap.indent(described, "   "))
        text = "\n\n".join(lines).splitlines()
        return self.parse_text_to_nodes("\n".join(StringList(text, source=file)))

    def _described(self, node: Documented) -> list[str]:
        """Return the directive of a class or a function, with its docstring."""
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        is_method = kind == "function" and [a.arg for a in node.args.args][:1] == ["self"]
        written = GoogleDocstring(ast.get_docstring(node) or "", self.config)
        directive = f".. py:{'method' if is_method else kind}:: {node.name}({_arguments(node)})"
        return [directive, textwrap.indent("\n".join(written.lines()), "   ")]


def _named(body: list[ast.stmt], name: str) -> Documented:
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
    raise ExtensionError(f"documented: there is no {name}")


def _arguments(node: Documented) -> str:
    """Return the arguments of a function, or of a class's constructor, without ``self``."""
    if isinstance(node, ast.ClassDef):
        node = _named(node.body, "__init__")
    arguments = [a for a in node.args.args if a.arg != "self"]
    shown = ast.arguments(**{**vars(node.args), "args": arguments})
    return ast.unparse(shown)
