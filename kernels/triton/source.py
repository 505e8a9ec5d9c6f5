"""Rewrite the source of a rule for Triton.

Triton compiles the source of a function, in which two things differ from NumPy. A float literal is
float32 unless it is combined with a tensor; and Triton 3.6 compiles ``-x`` as ``0.0 - x``, which
gives zero the wrong sign. So ``0.3`` becomes ``np.literal(0.3)``, and ``-x`` becomes
``np.literal(-1.0) * x``.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType

from ..trace.operations import RuleError
from ..trace.retarget import function_from


def rewritten(function: FunctionType) -> FunctionType:
    """Return an equivalent function that Triton compiles with NumPy's meaning.

    Args:
        function: a retargeted rule; the new function shares its globals.

    Raises:
        RuleError: its source cannot be read.
    """
    source = ast.unparse(_Rewriter().visit(_definition(function))) + "\n"
    copy = function_from(source, function.__name__, function.__globals__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


def _definition(function: FunctionType) -> ast.FunctionDef:
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError):  # no file, or a lambda inside an expression
        found = ast.Pass()
    if not isinstance(found, ast.FunctionDef):
        raise RuleError(
            f"Triton compiles the source of a function, and that of {function.__name__} cannot be "
            "read: define it with def, in a file"
        )
    return found


class _Rewriter(ast.NodeTransformer):
    """Rewrites the body of a function, except indices and arguments of range."""

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
