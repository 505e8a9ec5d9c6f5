"""The output of each suite, with small inputs."""

import json
import os
import shlex
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import lines, pictures, state_dtype, state_memory
from benchmarks.lines import SCHEMA_FILE, Group, Line, Place, Run
from benchmarks.models import MODELS
from benchmarks.ours import OURS
from benchmarks.peers import PEERS
from benchmarks.scaling import __main__ as scaling
from benchmarks.suites import SUITES, groups, memory
from tests.gpu.stages import measuring
from tests.gpu.stages.plans import Settings as Asked
from tests.helpers.console import words

ROOT = Path(__file__).parents[2]
ON_GPU = Asked(Path("out"))
QUICK = ("--model", "tiny500", "--tensors", "3", "--steps", "4")


def check(data):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_writes_what_the_schema_says_and_what_can_be_read_again(run, monkeypatch, suite):
    monkeypatch.setattr(memory, "WIDTH", 4)
    monkeypatch.setattr(groups, "SHAPES", ((4, 4),) * 3)
    data = run("--suite", suite, *QUICK)
    assert data["groups"]
    assert {group["suite"] for group in data["groups"]} == {suite}
    assert Run.from_json(data).to_json() == data
    if not any(group["lines"] for group in data["groups"]):
        pytest.importorskip("torch")
    check(data)


def test_the_schema_refuses_what_is_missing_or_unknown(run):
    jsonschema = pytest.importorskip("jsonschema")
    data = run("--suite", "update", *QUICK)
    line = data["groups"][0]["lines"][0]
    for change in ({"contender": 3}, {"of_copy": -1.0}, {"more": 1}):
        before = dict(line)
        line.update(change)
        with pytest.raises(jsonschema.ValidationError):
            check(data)
        line.clear()
        line.update(before)
    del line["bytes"]
    with pytest.raises(jsonschema.ValidationError):
        check(data)


def test_the_update_suite_measures_all_contenders(run, capsys):
    pytest.importorskip("numba")
    data = run("--rule", "adam", "rmsprop", *QUICK)
    assert data["rounds"] == 2
    assert data["threads"] == 1
    assert data["machine"]["packages"]["numpy"] == np.__version__
    assert data["command"].startswith("python -m benchmarks --rule adam rmsprop")
    assert [group["rule"] for group in data["groups"]] == ["adam", "rmsprop"]
    group = data["groups"][0]
    found = {line["contender"]: line for line in group["lines"]}
    peers = {"torch fused", "torch for-loop", "optimi", "textbook NumPy"}
    assert set(found) | set(group["left_out"]) == {"copy", *OURS["cpu"], *peers}
    for name, line in found.items():
        assert line["bytes"] == 28 * 86
        assert len(line["seconds"]["samples"]) == 2
        assert line["seconds"]["min"] <= line["seconds"]["median"]
        assert line["of_copy"] > 0
        assert line["gigabytes_per_second"] > 0
        assert line["warm_up_seconds"] > 0
        assert line["ours"] == (name in OURS["cpu"])
        assert set(line["times_as_fast_as"]) == peers & set(found) - {name}
    shown = capsys.readouterr().out
    assert "adam, float32, tiny500, cpu: 3 tensors, 86 elements, 28 bytes an element" in shown
    assert all(name in shown for name in found)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_every_dtype(run, dtype):
    pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    (group,) = run("--dtype", dtype, *QUICK)["groups"]
    found = {line["contender"]: line for line in group["lines"]}
    assert {"copy", *OURS["cpu"]} <= set(found)
    assert found["numpy"]["bytes"] == 86 * {"float32": 28, "float64": 56}.get(dtype, 22)


def test_a_short_name_of_a_dtype_stands_for_the_long_one(run):
    (group,) = run("--dtype", "fp64", "float64", "--peers", "textbook NumPy", *QUICK)["groups"]
    assert group["dtype"] == "float64"


def test_a_size_is_one_tensor(run):
    groups = run("--size", "10..100", "--peers", "textbook NumPy")["groups"]
    shapes = [(g["model"], g["lines"][0]["tensors"], g["lines"][0]["elements"]) for g in groups]
    assert shapes == [("10", 1, 10), ("80", 1, 80), ("100", 1, 100)]


def test_errors_are_small_and_ours_are_the_same_on_every_backend(run):
    pytest.importorskip("torch")
    pytest.importorskip("llvmlite")
    (group,) = run("--suite", "accuracy", "--steps", "20", "--rule", "adam")["groups"]
    errors = {line["contender"]: line["ulps"] for line in group["lines"]}
    assert errors["llvm"] == errors["numpy"] == errors["llvm, drop-in"]
    assert 0 < errors["numpy"]["median"] < 4
    assert errors["numpy"]["steps"] == 20


def test_many_groups_are_measured_with_changes_and_without(run, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(groups, "SHAPES", ((4, 4),) * 3)
    found = run("--suite", "groups")["groups"]
    kinds = ["3 groups, every lr changes", "3 groups, no lr changes", "1 group, every lr changes"]
    assert [group["model"] for group in found] == kinds
    for group in found:
        names = [line["contender"] for line in group["lines"]]
        assert names == [groups.ARRAYS, groups.DROP_IN, "torch fused", "torch for-loop"]
        assert [line["ours"] for line in group["lines"]] == [True, True, False, False]


@pytest.mark.parametrize("name", [groups.DROP_IN, "torch fused"])
def test_who_leaves_changed_rates_alone_has_no_line(run, monkeypatch, name):
    pytest.importorskip("torch")
    monkeypatch.setattr(groups, "SHAPES", ((4, 4),) * 3)
    kind = {groups.DROP_IN: groups.DropIn, "torch fused": groups.TorchAdam}[name]
    monkeypatch.setattr(kind, "changed", lambda self: self.step())
    for group in run("--suite", "groups")["groups"]:
        assert not group["lines"]
        said = f"{name} does not compute what gpuopt, arrays does"
        assert all(said in why for why in group["left_out"].values())


def test_states_take_what_their_storage_says():
    size = 1 << 22
    kept = {"float32": 8 * size, "float16": 4 * size, "8bit": 2 * (size + size // 8)}
    for storage, expected in kept.items():
        found = state_memory.peaks(((size,),), storage)
        assert found["kept"] == expected
        assert expected <= found["state_dict"] < expected + (8 << 20)
        assert found["step"] < 8 << 20  # a decoded state is twice as large
        assert found["load"] < 2.5 * expected + (8 << 20)


def test_a_large_model_is_sampled():
    shapes = ((1024, 1024),) * 300
    assert state_memory.sampled(shapes, 1 << 40) == shapes
    assert len(state_memory.sampled(shapes, 100 << 20)) == 100
    with_table = ((1 << 30,), *shapes)
    assert state_memory.sampled(with_table, 100 << 20) == ((1024, 1024),) * 100
    with pytest.raises(ValueError, match="at most 10 elements, got none"):
        state_memory.sampled(shapes, 10)


@pytest.mark.parametrize("storage", state_memory.STORAGES)
def test_what_is_computed_of_states_is_what_they_take(storage):
    shapes = ((4095,), (4096,), (4097,), (70, 70), (3,))
    assert state_memory.kept(shapes, storage) == state_memory.peaks(shapes, storage)["kept"]


def test_of_a_large_model_what_is_kept_is_computed_and_some_is_measured(run, monkeypatch):
    monkeypatch.setattr(memory, "sampled", lambda shapes: shapes[::2])
    monkeypatch.setattr(memory, "_of_gradients", lambda settings: ())
    all_of_it, measured = run("--suite", "memory", "--model", "tiny500")["groups"]
    assert (all_of_it["model"], measured["model"]) == ("tiny500", "tiny500, sampled")
    bytes_of = {line["contender"]: line["extra_bytes"] for line in all_of_it["lines"]}
    assert bytes_of == {"float32: kept": 688, "float16: kept": 344, "8bit: kept": 688}
    assert {line["elements"] for line in all_of_it["lines"]} == {86}
    assert {line["elements"] for line in measured["lines"]} == {71}


def test_all_models_are_those_that_fit(monkeypatch):
    kept = []
    suite = SimpleNamespace(run=lambda settings: kept.append(set(settings.models)) or ())
    monkeypatch.setattr(command, "suite", lambda name: suite)
    assert command.main(["--model", "all"]) == 0
    assert command.main(["--model", "llama-1b"]) == 0
    assert kept == [MODELS.keys() - {"llama-1b"}, {"llama-1b"}]


def test_a_step_inside_the_backward_pass_holds_fewer_gradients():
    pytest.importorskip("torch")
    found = memory.largest_gradients(layers=4, width=8)
    one = (8 * 8 + 8) * 4
    assert found[memory.AFTER] == 4 * one
    assert found[memory.INSIDE] <= one
    assert found[memory.MOMENTS] == found[memory.INSIDE]
    assert found[memory.EXACT] == 4 * one


def test_without_torch_the_rest_runs(tmp_path):
    file = tmp_path / "out.json"
    # In a process of its own: what cannot be imported is remembered.
    code = f"""if True:
        import sys
        sys.modules["torch"] = None
        from benchmarks import __main__ as command, models
        models.MODELS["tiny500"] = ((70,), (3, 5))
        asked = "--model tiny500 --rule sgd --rounds 1 --warm-cache --json".split()
        sys.exit(command.main([*asked, {str(file)!r}]))
    """
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "without torch fused: torch is not installed" in shown
    (group,) = json.loads(file.read_text())["groups"]
    absent = {name: why for name, why in group["left_out"].items() if "torch" in name}
    assert {absent[name] for name in absent if name != "torchao"} == {"torch is not installed"}
    assert {"numpy", "textbook NumPy"} <= {line["contender"] for line in group["lines"]}


@pytest.fixture
def no_work(monkeypatch):
    """Fail when the measurement starts."""
    monkeypatch.setattr(command, "suite", lambda name: pytest.fail("the work began"))


@pytest.mark.parametrize("where", ["missing/out", "folder", "file/out"])
@pytest.mark.parametrize("option", ["--json", "--report", "--plot"])
def test_what_cannot_be_written_is_reported_before_the_work(
    tmp_path, capsys, no_work, option, where
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    if option == "--plot":  # makes its folders
        where = "file/out"
    assert command.main([option, str(tmp_path / where)]) == 2
    assert f"cannot write {tmp_path / where}" in capsys.readouterr().err


def test_pictures_without_matplotlib_are_refused_before_the_work(
    tmp_path, capsys, no_work, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command.main(["--plot", str(tmp_path)]) == 2
    assert "--plot needs matplotlib" in capsys.readouterr().err
    assert command.main(["render", "run.json", "--plot", str(tmp_path)]) == 2
    assert "--plot needs matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--rounds", "--threads", "--tensors", "--steps"])
@pytest.mark.parametrize("given", ["0", "-1", "x", "1.5"])
def test_a_number_that_is_none_says_what_is_expected(capsys, no_work, option, given):
    assert command.main([f"{option}={given}"]) == 2
    assert f"Invalid value for '{option}': " in words(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--peers", "optimi", "apex"], "--peers: not available on cpu: apex"),
        (["render", "run.json"], "expected --plot FOLDER, --report FILE, or both"),
        (["--suite", "references", "--rule", "adam"], "--rule: suite references does not measure"),
        (["--device", "cuda", "--warm-cache"], "--warm-cache: on a CUDA device the cache is"),
        (["--device", "cuda", "--processor-time"], "--processor-time: on a CUDA device the time"),
        (["--model", "gpt2", "gpt3"], "'--model': "),
        (["--size", "16m", "1x"], "'--size': expected a size or range, 16m or 1k..1G, got '1x'"),
        (["gpt2"], "No such command 'gpt2'"),
    ],
)
def test_what_would_be_ignored_is_refused(capsys, no_work, arguments, why):
    assert command.main(arguments) == 2
    assert why in words(capsys.readouterr().err)


@pytest.fixture
def asked(monkeypatch):
    """What a command would measure."""
    found = []

    def note(suites, settings, count, arguments):
        found.append((suites, settings, count))
        return Run(lines.facts("", "cpu", 1, 1, None), [])

    monkeypatch.setattr(command, "_measured", note)
    monkeypatch.setattr(command, "_cuda_problem", lambda: None)
    monkeypatch.setattr(command, "_write", lambda *given: 0)
    return found


def test_an_option_takes_several_values(asked):
    several = ("--suite", "update", "tail", "--peers", "torch fused", "optimi", "--rounds", "3")
    sizes = ("--size", "1k..100k", "16m", "--tensors", "1", "3", "--dtype", "bf16", "float32")
    assert command.main([*several, *sizes, "--model", "gpt2", "--model", "tiny500"]) == 0
    ((suites, settings, _),) = asked
    assert suites == ["update", "tail"]
    assert settings.peers == ["torch fused", "optimi"]
    assert settings.rounds == 3
    assert settings.tensors == [1, 3]
    assert settings.dtypes == ["bfloat16", "float32"]
    assert list(settings.models) == ["1k", "8k", "64k", "100k", "16m", "gpt2", "tiny500"]


def test_without_options_the_defaults_are_measured(asked):
    assert command.main([]) == 0
    ((suites, settings, _),) = asked
    assert (suites, settings.rules, settings.dtypes) == (["update"], ["adam"], ["float32"])
    assert list(settings.models) == ["16m", *command.DEFAULT_MODELS]
    assert (settings.peers, settings.device) == (list(PEERS["cpu"]), "cpu")
    assert (settings.rounds, settings.tensors, settings.steps) == (9, (1, 148, 500, 5000), 100)
    assert (settings.cold, settings.processor) == (True, False)


def recorded():
    """The commands that the published data and pictures were made by."""
    for file in sorted((ROOT / "docs/benchmarks").glob("*.json")):
        data = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "command" in data:
            for text in data["command"].split("; "):
                yield pytest.param(shlex.split(text)[3:], id=f"{file.stem} {text[21:60]}")


@pytest.mark.parametrize("arguments", list(recorded()))
def test_recorded_commands_can_be_given_again(asked, arguments):
    assert command.main(arguments) == 0
    assert len(asked) == 1


@pytest.mark.parametrize("arguments", [
    run for stage in ("bench", "compile") for step in getattr(measuring, stage)(ON_GPU)
    if (run := step.command[3:])[0] not in ("compare", "render")
], ids=" ".join)  # fmt: skip
def test_the_commands_of_the_gpu_stages_are_understood(asked, tmp_path, arguments):
    at = arguments.index("--json")
    assert command.main([*arguments[:at], *arguments[at + 2 :]]) == 0
    assert asked[0][1].device == "cuda"


def test_a_dtype_without_a_tail_is_named(run):
    (group,) = run("--suite", "tail", "--dtype", "float64", *QUICK)["groups"]
    assert set(group["left_out"].values()) == {"measured only in float32 and bfloat16"}


@pytest.mark.parametrize("main", [command.main, scaling.main, state_dtype.main])
def test_threads_of_the_environment_that_are_none_are_reported(monkeypatch, capsys, no_work, main):
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "two")
    assert main([]) == 2
    assert "GPUOPT_NUM_THREADS: expected a positive integer" in capsys.readouterr().err


def test_without_a_cuda_device_it_says_so(capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert command.main(["--device", "cuda"]) == 2
    assert "CUDA" in capsys.readouterr().err


def test_the_command_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for option in ("--suite", "--rule", "--dtype", "--size", "--model", "--peers", "--device"):
        assert option in shown.stdout
    assert os.fspath(tmp_path) not in shown.stdout


@pytest.fixture
def texts(monkeypatch):
    """By file name, the texts of each plot with their boxes; the last if drawn twice."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    found, save, draw = {}, Figure.savefig, Text.draw

    def save_and_note(figure, path):
        boxes = {}

        def draw_and_note(text, renderer):
            if text.get_visible() and text.get_text().strip():
                boxes[text] = (text.get_text(), text.get_window_extent(renderer), figure.bbox)
            draw(text, renderer)

        monkeypatch.setattr(Text, "draw", draw_and_note)
        save(figure, path)
        monkeypatch.setattr(Text, "draw", draw)
        found[Path(path).name] = list(boxes.values())

    monkeypatch.setattr(Figure, "savefig", save_and_note)
    return found


def measured(contenders, model, suite="update", tensors=1, elements=10, **figures):
    place = Place(suite, "adam", "float32", model, "cpu")
    ours = [name for name in contenders if name in OURS["cpu"]]
    return Group(place, [
        Line(place, name, name in ours, tensors, elements, seconds={"median": 1e-4},
             gigabytes_per_second=2.0, **figures)
        for name in contenders
    ])  # fmt: skip


def test_pictures_use_names_and_nothing_in_them_overlaps(tmp_path, texts):
    pytest.importorskip("matplotlib")
    who = [*OURS["cpu"], *PEERS["cpu"], "copy"]
    ratios = {peer: 1.5**n / 2 for n, peer in enumerate(PEERS["cpu"])}
    groups = [
        measured(who, "64k", elements=1 << 16),
        measured(who, "4m", elements=1 << 22),
        measured(who, "16m", elements=1 << 24),
        *(measured(who, m, times_as_fast_as=ratios) for m in ("gpt2", "resnet50", "tiny500")),
        measured(who, "1 tensors", "host"),
        measured(who, "500 tensors", "host", tensors=500),
    ]  # fmt: skip
    facts = lines.facts("python -m benchmarks " + "--peers 'torch fused' " * 9, "cpu", 2, 5, 0.25)
    pictures.draw(Run(facts, groups), tmp_path)
    shown = {name: [text for text, _, _ in found] for name, found in texts.items()}
    assert {"64k", "4M", "16M", "gpuopt, LLVM, drop-in", "copy loop"} <= {*shown["roofline.png"]}
    assert {"GPT-2", "ResNet-50", "500 tensors of 64", "torch fused"} <= {*shown["ratios.png"]}
    assert "A step of Adam over many tensors of 64 elements, float32" in shown["tensors.png"]
    for found in texts.values():
        assert any("load average 0.2 at the start" in text for text, _, _ in found)
        for text, box, page in found:
            assert page.x0 <= box.x0 and box.x1 <= page.x1, text
            assert page.y0 <= box.y0 and box.y1 <= page.y1, text
        for (text, box, _), (other, place, _) in combinations(found, 2):
            assert not box.overlaps(place), (text, other)


def test_a_picture_of_several_runs_names_the_commands_of_all():
    runs = [Run(lines.facts(f"benchmark {n}", "cpu", 1, 1, None), []) for n in (1, 2, 1)]
    assert lines.merged(runs).facts["command"] == "benchmark 1; benchmark 2"


def test_pictures_and_a_report(run, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    report = tmp_path / "report.md"
    asked = ("--suite", "update", "host", "--size", "10..100", "--tensors", "1", "3")
    few = ("--model", "tiny500", "--peers", "textbook NumPy")
    run(*asked, *few, "--plot", str(tmp_path / "plots"), "--report", str(report))
    files = {file.name for file in (tmp_path / "plots").iterdir()}
    assert files == {"roofline.png", "ratios.png", "tensors.png"}
    text = report.read_text()
    assert text.startswith("# gpuopt's benchmarks")
    assert "| numpy |" in text
    assert "python -m benchmarks" in text


def test_runs_without_figures_for_a_picture_say_so(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    run("--size", "10", "--peers", "textbook NumPy")
    plots = tmp_path / "plots"
    assert command.main(["render", str(tmp_path / "out.json"), "--plot", str(plots)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("no plot: the runs lack the figures for one; roofline.png needs ")
    assert "wrote" not in said.out
    assert list(plots.iterdir()) == []


def test_a_run_with_figures_for_a_picture_is_rendered(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    run("--peers", "textbook NumPy", *QUICK)
    plots = tmp_path / "plots"
    assert command.main(["render", str(tmp_path / "out.json"), "--plot", str(plots)]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {plots / 'ratios.png'}\n")
    assert [file.name for file in plots.iterdir()] == ["ratios.png"]


def test_on_a_narrow_terminal_columns_go_before_names_are_cut(run, capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in (("COLUMNS", "40"), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    run("--size", "10", "--peers", "textbook NumPy")
    out = capsys.readouterr().out
    assert "…" not in out and "..." not in out
    assert "textbook NumPy" in out
    assert "No room for: " in out
