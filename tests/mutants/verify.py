"""Mutants of `gpuopt verify`: what it checks, compares and reports."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a NaN is no difference from a number",
        "gpuopt/verify/compare.py",
        "differ &= ~(np.isnan(mine) & np.isnan(theirs))",
        "differ &= ~(np.isnan(mine) | np.isnan(theirs))",
        "tests/verify/test_compare.py",
    ),
    Mutant(
        "every finite number is near an infinite one",
        "gpuopt/verify/compare.py",
        "differ &= ~(close & np.isfinite(theirs))",
        "differ &= ~close",
        "tests/verify/test_compare.py -k not_finite",
    ),
    Mutant(
        "a process goes on with a broken device",
        "gpuopt/verify/worker.py",
        'answer["broken"] = _is_broken(check)',
        "",
        "tests/verify/test_command.py -k device",
    ),
    Mutant(
        "differences are no failure",
        "gpuopt/verify/command.py",
        "return 1 if missing or found.bad else",
        "return 1 if missing else",
        "tests/verify/test_command.py -k wrong_bit",
    ),
    Mutant(
        "the reference is the backend itself",
        "gpuopt/verify/steps.py",
        'return mine, Side("numpy", LIBRARIES[library.reference], "cpu")',
        "return mine, mine",
        "tests/verify/test_command.py -k wrong_bit",
    ),
    Mutant(
        "a graph is not replayed",
        "gpuopt/verify/on_device.py",
        "            replay()\n",
        "",
        "tests/verify/test_ways.py -k graph",
    ),
    Mutant(
        "sums are of hostile values alone",
        "gpuopt/verify/steps.py",
        'return check.kind != "rule" and any(',
        "return False and any(",
        "tests/verify/test_ways.py -k 'finite_sums or adds_up_nothing'",
    ),
    Mutant(
        "no step is late",
        "gpuopt/verify/steps.py",
        'held["step"] += LATE',
        'held["step"] += 0',
        "tests/verify/test_ways.py -k late",
    ),
    Mutant(
        "a rule has no tail",
        "gpuopt/verify/checks.py",
        'yield Check(backend, library, "rule", rule, dtype_for(tail, i), tail)',
        'yield Check(backend, library, "rule", rule, dtype_for(tail, i))',
        "tests/verify/test_ways.py -k 'tail'",
    ),
)
