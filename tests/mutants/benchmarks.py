"""Mutants of the benchmarks: clocks, checks, comparisons."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a faster copy counts as a regression",
        "benchmarks/compare.py",
        'better = (self.after, self.before) if self.unit == "of copy"',
        'better = (self.after, self.before) if self.unit != "of copy"',
        "tests/benchmarks/test_compare.py",
    ),
    Mutant(
        "a peer that became slower is a failure",
        "benchmarks/compare.py",
        "return self.ours and self.worse > threshold",
        "return self.worse > threshold",
        "tests/benchmarks/test_compare.py",
    ),
    Mutant(
        "caches are emptied where they should be warm",
        "benchmarks/timing.py",
        "        if cold:\n",
        "        if not cold:\n",
        "tests/benchmarks/test_measuring.py -k emptied",
    ),
    Mutant(
        "each contender always follows the same one",
        "benchmarks/timing.py",
        "        order = [*order[1:], *order[:1]]  # so that each has different predecessors\n",
        "",
        "tests/benchmarks/test_measuring.py -k another_predecessor",
    ),
    Mutant(
        "a contender that computes NaN passes the check",
        "benchmarks/check.py",
        "if not apart <= allowed:",
        "if apart > allowed:",
        "tests/benchmarks/test_contenders.py -k computes_nan",
    ),
    Mutant(
        "tensors of the buffers are not aligned",
        "benchmarks/buffers.py",
        "sizes = [-(-prod(shape) // ALIGNMENT) * ALIGNMENT for shape in shapes]",
        "sizes = [prod(shape) for shape in shapes]",
        "tests/benchmarks/test_contenders.py -k aligned",
    ),
    Mutant(
        "the fastest rule decides on a target",
        "benchmarks/targets.py",
        "return min(found, default=None)",
        "return max(found, default=None)",
        "tests/benchmarks/test_targets.py",
    ),
    Mutant(
        "a warning is judged by the layer behind its own",
        "benchmarks/warnings.py",
        "epoch.gradient_norms[layer - 1]",
        "epoch.gradient_norms[layer % len(epoch.gradient_norms)]",
        "tests/benchmarks/test_warnings.py -k vanished",
    ),
)
