"""python -m tests.gpu: test and measure on a CUDA device, in stages of less than ten minutes.

smoke     whether the backends work at all
test      the tests that need a device, in parallel workers
bench     the benchmarks, beside the peers that are installed
compile   the benchmarks beside torch.compile
sanitize  every kernel under compute-sanitizer
profile   the time of each kernel, and what ncu counts

It uses the environment that it is run in and installs nothing. What is missing is named, and what
needs it is skipped. Results are in OUT: summary.txt, STAGE.json, and the log of each step. The exit
code is 1 if in a stage something failed, was stopped or not begun, or nothing ran; 3 without a CUDA
device.
"""

import argparse
import signal
import sys
from pathlib import Path

from tests.gpu.stages import machine
from tests.gpu.stages.measuring import bench, compile, profile
from tests.gpu.stages.plans import Settings, sanitize, smoke, test, workers_here
from tests.gpu.stages.stage import Report, run_stage

STAGES = {
    "smoke": smoke,
    "test": test,
    "bench": bench,
    "compile": compile,
    "sanitize": sanitize,
    "profile": profile,
}
SECONDS = 540
"""Of a stage; what is interrupted then has seconds to write its results."""

NO_DEVICE = 3


def main(arguments=None):
    """Run the stages; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.before and given.before.resolve() == given.out.resolve() / "bench":
        parser.error("--before: the stage writes there; copy the folder first")
    device, problem = machine.device()
    if problem and not given.dry:
        print(f"tests.gpu: nothing was done: {problem}", file=sys.stderr)
        return NO_DEVICE
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what is run in the background lacks it
    missing = machine.missing()
    report = Report(given.out.resolve(), _about(given, device, missing))
    for name, why in missing.items():
        report.say(f"missing: {name}, for {why}")
    workers = given.workers or workers_here(device)
    before = given.before and given.before.resolve()
    asked = Settings(report.folder, given.dry, workers, frozenset(missing), before)
    stages = dict.fromkeys(given.stages)
    bad = [n for n in stages if not run_stage(n, STAGES[n](asked), given.seconds, report)]
    report.say(f"== {len(bad)} of {len(stages)} stages failed: {', '.join(bad) or 'none'}")
    return int(bool(bad))


def _about(given, device, missing):
    return {
        "dry": given.dry,
        "host": machine.host(),
        "device": device,
        "missing": missing,
        "packages": machine.versions(),
    }


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    add("--seconds", type=float, default=SECONDS, help=f"of a stage; {SECONDS} by default")
    add("--out", type=Path, default=Path("build/gpu"), help="folder for all results; build/gpu")
    add("--workers", type=int, help="processes for the tests; by default what the machine takes")
    before = "the folder bench of an earlier run, copied elsewhere, to compare with"
    add("--before", type=Path, metavar="FOLDER", help=before)
    add("--dry", action="store_true", help="do on the CPU what can be done there")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
