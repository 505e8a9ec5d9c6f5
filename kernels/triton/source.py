"""A rule as Triton is to read it.

Triton compiles the text of a function, and reads two things otherwise than NumPy. A number is
a float32 there unless it meets a tensor, whatever the rule computes in; and Triton 3.6 takes
``-x`` for ``0.0 - x``, which gives another zero. So it gets the same function in other words:
``0.3`` becomes ``np.literal(0.3)``, and ``-x`` becomes ``np.literal(-1.0) * x``.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType

from ..trace.operations import RuleError
from ..trace.retarget import function_from


def reworded(function: FunctionType) -> FunctionType:
    """Return a function that does the same, in the words that Triton reads as NumPy does.

    Args:
        function: a retargeted rule; its globals become the new one's.

    Raises:
        RuleError: it has no text.
    """
    source = ast.unparse(_Reworder().visit(_definition(function))) + "\n"
    copy = function_from(source, function.__name__, function.__globals__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


def _definition(function: FunctionType) -> ast.FunctionDef:
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError):  # there is no file; a lambda amid a call
        found = ast.Pass()
    if not isinstance(found, ast.FunctionDef):
        raise RuleError(
            f"Triton compiles the text of a function, and that of {function.__name__} cannot be "
            "read: write it with def, in a file"
        )
    return found


class _Reworder(ast.NodeTransformer):
    """Rewords the body of a function; numbers that are no values stay as they are."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list = []
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return node
        return _literal(value)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand = self.visit(node.operand)
        if isinstance(node.op, ast.USub):
            return ast.BinOp(_literal(-1.0), ast.Mult(), operand)
        return ast.UnaryOp(node.op, operand)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        counts = isinstance(node.func, ast.Name) and node.func.id == "range"
        return node if counts else self.generic_visit(node)  # type: ignore[return-value]

    def visit_Subscript(self, node: ast.Subscript) -> ast.Subscript:
        node.value = self.visit(node.value)
        return node


def _literal(value: float) -> ast.Call:
    name = ast.Attribute(ast.Name("np", ast.Load()), "literal", ast.Load())
    return ast.Call(name, [ast.Constant(float(value))], [])
