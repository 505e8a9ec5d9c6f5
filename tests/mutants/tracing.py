"""Mutants of tracing, and of what is printed from traces."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a difference on the right loses its parentheses",
        "kernels/trace/c.py",
        "(_SUM, _SUM) if level == _COMPARISON else (level, level - 1)",
        "(_SUM, _SUM) if level == _COMPARISON else (level, level)",
        "tests/cuda_c/test_text.py",
    ),
    Mutant(
        "minus infinity is printed as infinity",
        "kernels/trace/c.py",
        "f\"{'-' * (value < 0)}infinity()\"",
        '"infinity()"',
        "tests/cuda_c/test_text.py",
    ),
    Mutant(
        "an input is overwritten before it is read",
        "kernels/trace/c.py",
        "if result in shown and source != value:",
        "if result not in shown and source != value:",
        "tests/cuda_c/test_text.py",
    ),
    Mutant(
        "a scratch array is reused while it holds a result",
        "kernels/trace/numpy_calls.py",
        "    last_read.update(dict.fromkeys(traced.results, len(traced.operations)))\n",
        "",
        "tests/backends/test_numpy_program.py",
    ),
    Mutant(
        "a result overwrites what the next operation reads",
        "kernels/trace/numpy_calls.py",
        "last_read.get(target, -1) > k:",
        "last_read.get(target, -1) > k + 1:",
        "tests/backends/test_numpy_program.py",
    ),
    Mutant(
        "a number minus a value is the value minus the number",
        "kernels/trace/operations.py",
        "return self.trace.record(name, other, self)",
        "return self.trace.record(name, self, other)",
        "tests/rules/test_trace.py -k replayed",
    ),
    Mutant(
        "literals of called functions keep their dtype",
        "kernels/trace/retarget.py",
        "retarget(callee, library, wrap, literal, extra_globals)",
        "retarget(callee, library, wrap, extra_globals=extra_globals)",
        "tests/rules/test_trace.py -k literals",
    ),
    Mutant(
        "a number that float32 does not hold is a literal",
        "kernels/trace/operations.py",
        "if isinstance(operand, float) and _exact_in_float32(operand):",
        "if isinstance(operand, float):",
        "tests/rules/test_trace.py -k float32",
    ),
)
