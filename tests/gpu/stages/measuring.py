"""The steps of the stages that measure: bench, compile and profile."""

from tests.gpu.stages.machine import tool
from tests.gpu.stages.plans import program, python
from tests.gpu.stages.step import Step

PEERS = ("torch fused", "torch foreach", "torch for-loop", "cupy.ElementwiseKernel", "cupy.fuse")
"""All but those that compile for minutes."""

BOTH = ("--dtype", "float32", "bfloat16")
RUNS = {
    "update": (190, "--model gpt2 resnet50 tiny500 --size 16m --rounds 7", BOTH),
    "tail": (60, "--model gpt2 resnet50 --rounds 5", BOTH),
    "host": (80, "--tensors 1 148 500 5000 --rounds 5", ()),
    "sizes": (120, "--suite update --size 1k..256m --rounds 5", ()),
    "memory": (30, "", ()),
    "accuracy": (60, "", BOTH),
    "groups": (60, "--rounds 5", ()),
}
"""Of each run of the benchmarks: seconds, arguments and dtypes. Its name is the suite's."""

DRY = {"update": (60, "--size 64k..512k --rounds 2", ())}


def bench(asked):
    """Yield the steps that measure, draw, and compare with an earlier run if there is one."""
    runs = DRY if asked.dry else RUNS
    for name, how in runs.items():
        yield _run(asked, "bench", name, *how)
    yield _render(asked, asked.out / "bench")
    for name in runs:
        files = [
            folder / f"{name}.json" for folder in (asked.before, asked.out / "bench") if folder
        ]
        if len(files) == 2 and all(file.exists() for file in files):
            command = ("benchmarks", "compare", *files)
            yield python(f"compare-{name}", 30, *command, needs=("typer",))


def compile(asked):
    """Return the steps that compare with torch.compile, which compiles for minutes."""
    arguments = "--suite update --size 16m --model gpt2 --rounds 5"
    if asked.dry:
        arguments = "--suite update --size 64k --rounds 2"
    peers = ("torch compile", "torch fused")
    return [_run(asked, "compile", "compiled", 480, arguments, (), peers)]


def _run(asked, stage, name, seconds, arguments, dtypes, peers=PEERS):
    if asked.dry:
        peers = [peer for peer in peers if peer.startswith("torch")]
    suite = () if "--suite" in arguments else ("--suite", name)
    command = ("benchmarks", "--device", asked.device, *suite, *arguments.split(), *dtypes)
    file = asked.out / stage / f"{name}.json"
    command = (*command, "--peers", *peers, "--json", file)
    return python(name, seconds, *command, needs=("torch", "typer"))


def _render(asked, folder):
    """Return the step that draws all runs that there are."""
    pictures = () if "matplotlib" in asked.missing else ("--plot", folder / "pictures")
    command = ("benchmarks", "render", *sorted(folder.glob("*.json")), *pictures)
    return python("render", 60, *command, "--report", folder / "report.md", needs=("typer",))


METRICS = (
    "gpu__time_duration.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__registers_per_thread",
    "launch__grid_size",
)
SECTIONS = ("MemoryWorkloadAnalysis", "Occupancy", "SpeedOfLight", "WarpStateStats")


def profile(asked):
    """Yield the steps that time each kernel, and read the device's counters while it runs."""
    file = asked.out / "profile" / "times.json"
    yield program("times", 260, asked, "kernel_times", "--json", file)
    for dtype, options in (("float32", ()), ("bfloat16", ()), ("float32", ("--clip",))):
        for backend in (*asked.backends, *(() if options else ("torch",))):
            yield _counters(asked, backend, dtype, options)


def _counters(asked, backend, dtype, options):
    name = "-".join(("counters", backend, dtype, *(option.strip("-") for option in options)))
    arguments = ("--backend", backend, "--dtype", dtype, *options)
    step = program(name, 45, asked, "four_steps", *arguments)
    if asked.dry:
        return step
    # Not the first step; torch's own kernel, one a step, is called multi_tensor_apply_kernel.
    skipped = 2 if backend == "torch" else 4
    command = [tool("ncu") or "ncu", "--clock-control", "none"]
    command += ["--target-processes", "application-only", "--kernel-name-base", "function"]
    command += ["--kernel-name", "regex:multi_tensor", "--launch-skip", str(skipped)]
    command += ["--launch-count", "4", "--metrics", ",".join(METRICS)]
    for section in SECTIONS:
        command += ["--section", section]
    command += ["--csv", "--page", "details"]
    return Step(step.name, step.seconds, (*command, *step.command), ("torch", "ncu"))
