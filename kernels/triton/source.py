"""Rewrite the source of a rule for Triton.

Triton compiles the source of a function, in which two things differ from NumPy. A float literal is
float32 unless it is combined with a tensor; and Triton 3.6 compiles ``-x`` as ``0.0 - x``, which
gives zero the wrong sign. So ``0.3`` becomes ``np.literal(0.3)``, and ``-x`` becomes
``np.literal(-1.0) * x``.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from types import CodeType, FunctionType

from ..trace.operations import RuleError
from ..trace.retarget import function_from

LAMBDA = "<lambda>"
"""The name of a function that ``lambda`` makes."""


def rewritten(function: FunctionType) -> FunctionType:
    """Return an equivalent function that Triton compiles with NumPy's meaning.

    Args:
        function: a retargeted rule; the new function shares its globals.

    Raises:
        RuleError: its source cannot be read.
    """
    definition = _definition(function)
    name, qualname = definition.name, function.__qualname__
    source = ast.unparse(_Rewriter().visit(definition)) + "\n"
    copy = function_from(source, name, function.__globals__)
    copy.__module__, copy.__qualname__ = function.__module__, qualname.replace(LAMBDA, name)
    return copy


def _definition(function: FunctionType) -> ast.FunctionDef:
    try:
        text = _text_of_lambda(function) or textwrap.dedent(inspect.getsource(function))
        (found,) = ast.parse(text).body
    except (OSError, SyntaxError):  # no file
        found = ast.Pass()
    if not isinstance(found, ast.FunctionDef):
        raise RuleError(
            f"Triton compiles the source of a function, and that of {function.__name__} cannot be "
            "read: define it in a file"
        )
    return found


def _text_of_lambda(function: FunctionType) -> str:
    """Return the definition of a function equal to a lambda; "" for other functions.

    Its name says where the lambda is, since Triton takes functions of one name for the same.
    """
    code = function.__code__
    if function.__name__ != LAMBDA:
        return ""
    lines = linecache.getlines(code.co_filename, function.__globals__)
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno:
            if _is_compiled_from(node, code):
                name = f"lambda_{node.lineno}_{node.col_offset}"
                return f"def {name}({ast.unparse(node.args)}): return {ast.unparse(node.body)}"
    return ""


def _is_compiled_from(node: ast.Lambda, code: CodeType) -> bool:
    """Whether a lambda compiles to this code: there may be several on one line."""
    constants = compile(ast.unparse(node), code.co_filename, "eval").co_consts
    (compiled,) = (each for each in constants if isinstance(each, CodeType))
    attributes = ("co_code", "co_consts", "co_names", "co_varnames")
    return all(getattr(compiled, a) == getattr(code, a) for a in attributes)


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
