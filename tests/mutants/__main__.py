"""python -m tests.mutants: apply each mutant, and report which ones the tests notice.

Arguments choose mutants whose part, file or fault holds one of them: ``engine``, ``step.py``,
``"the last chunk"``. The exit code is 1 if one survives or is invalid.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

from tests.mutants.parts import PARTS
from tests.mutants.runner import INVALID, KILLED, SURVIVED, run_all

ROOT = Path(__file__).parents[2]


def main(arguments=None):
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="of parts, files or faults; none for all mutants")
    parser.add_argument("-n", type=int, default=1, metavar="WORKERS", help="runs at a time")
    parser.add_argument("--list", action="store_true", help="list them and run nothing")
    given = parser.parse_args(arguments)
    names = {mutant: f"{part}: {mutant.fault}" for part, mutant in chosen(given.words)}
    if not names:
        parser.error("no mutant has one of these words")
    if given.list:
        print(*names.values(), sep="\n")
        return 0
    start = time.perf_counter()

    def report(outcome):
        line = f"{outcome.verdict:8} {outcome.seconds:6.1f} s  {names[outcome.mutant]}"
        print(f"{line}\n    {outcome.reason}" if outcome.reason else line, flush=True)

    outcomes = run_all(list(names), ROOT, given.n, report)
    counts = Counter(outcome.verdict for outcome in outcomes)
    summary = ", ".join(f"{counts[v]} {v.lower()}" for v in (KILLED, SURVIVED, INVALID))
    print(f"{len(outcomes)} mutants in {time.perf_counter() - start:.0f} s: {summary}")
    return int(counts[KILLED] != len(outcomes))


def chosen(words):
    """Return the mutants with one of these words, each with its part; without words, all."""
    return [
        (part, mutant)
        for part, mutants in PARTS.items()
        for mutant in mutants
        if not words or any(w in f"{part} {mutant.file} {mutant.fault}" for w in words)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
