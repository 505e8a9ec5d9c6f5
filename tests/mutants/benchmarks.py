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
    Mutant(
        "a device does not sleep while the host enqueues a step",
        "benchmarks/cuda.py",
        "        if length:\n",
        "        if not length:\n",
        "tests/benchmarks/test_device_clock.py -k no_part",
    ),
    Mutant(
        "a sleep that was too short is not noticed",
        "benchmarks/cuda.py",
        "waits = self._start.query()",
        "waits = False",
        "tests/benchmarks/test_device_clock.py -k 'too_short or told'",
    ),
    Mutant(
        "the cache is flushed between the events",
        "benchmarks/cuda.py",
        "        self._start.record()\n",
        "        self._start.record()\n        self._filler.zero_()\n",
        "tests/benchmarks/test_device_clock.py -k flushed",
    ),
    Mutant(
        "a sleep that was too short is not doubled",
        "benchmarks/cuda.py",
        "while found.waits and length < longest:",
        "while found.waits and length > longest:",
        "tests/benchmarks/test_device_clock.py -k 'too_short or slow_once'",
    ),
    Mutant(
        "a slower host is no regression where a device keeps the time",
        "benchmarks/compare.py",
        '    figures = {"s": line.median, HOST: line.host_seconds}',
        '    figures = {"s": line.median}',
        "tests/benchmarks/test_device_clock.py -k regression",
    ),
    Mutant(
        "an unknown clock counts as fallen",
        "benchmarks/gpu_state.py",
        "if 0 < last < FELL * first:",
        "if last < FELL * first:",
        "tests/benchmarks/test_gpu_state.py -k distorts",
    ),
)
