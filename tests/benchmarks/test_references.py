"""The suite references: what is the same is timed, with the bytes of every pass."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

import gpuopt.torch  # noqa: E402
from benchmarks import __main__ as command  # noqa: E402
from benchmarks import contest, copyloop, measure, timing  # noqa: E402
from benchmarks.cases import CASES, FAMILIES, OTHERS  # noqa: E402
from benchmarks.lines import Place  # noqa: E402
from benchmarks.peers.references import REFERENCES  # noqa: E402
from benchmarks.suites import Settings, references  # noqa: E402
from gpuopt.rules.definitions import DEFINITIONS  # noqa: E402
from gpuopt.rules.registry import RULES  # noqa: E402
from tests.helpers.console import words  # noqa: E402

from .conftest import SHAPES  # noqa: E402

PLACE = Place("references", "lion", "float32", "small", "cpu")


def lion(module, monkeypatch, lr=1.0, made=None):
    """Install a stand-in for a package, whose Lion is gpuopt's with a factor on the rate.

    With a negative factor it fills the weights with NaN.
    """

    class Lion:
        def __init__(self, params, **options):
            if made is not None:
                made.append((params, options))
            own = {name: options[name] for name in ("betas", "weight_decay")}
            self.step = gpuopt.torch.Lion(params, abs(lr) * options["lr"], **own).step
            if lr < 0:
                self.step = lambda: [param.data.fill_(float("nan")) for param in params]

    monkeypatch.setitem(sys.modules, module, SimpleNamespace(Lion=Lion))


def run(rule="lion", **settings):
    shared = {"rules": [], "dtypes": ["float32"], "models": {"small": SHAPES}, "peers": []}
    (group,) = references.run(Settings(**shared, others=[rule], rounds=1, cold=False, **settings))
    return group


def test_every_optimizer_that_torch_lacks_is_timed():
    named = {definition.name for definition in OTHERS.values()}
    absent = {name for name in DEFINITIONS if not hasattr(torch.optim, name)}
    assert named == absent - {"Momentum", "RMSProp"}  # torch's SGD and RMSprop: suite update


def test_a_table_has_both_ratios_and_both_ways_of_a_package(monkeypatch):
    made = []
    lion("pytorch_optimizer", monkeypatch, made=made)
    monkeypatch.setitem(sys.modules, "optimi", None)
    group = run()
    both = ["pytorch_optimizer", "pytorch_optimizer, foreach"]
    assert [line.contender for line in group.lines] == ["copy", references.OURS, *both]
    assert [line.ours for line in group.lines] == [False, True, False, False]
    assert {line.bytes for line in group.lines} == {20 * group.lines[0].elements}
    line = group.line(references.OURS)
    assert line.of_copy > 0 and list(line.times_as_fast_as) == both
    assert all(why.startswith("not installed (") for why in group.left_out.values())
    assert list(group.left_out) == ["optimi", "optimi, foreach"]
    assert [options["foreach"] for _, options in made] == [False, False, True, True]
    timed = [params for params, _ in made if params[0].dtype == torch.float32]
    assert timed[0] is timed[1]  # the same memory


@pytest.mark.parametrize("factor", [1.05, -1.0])
def test_a_package_with_another_formula_is_left_out(monkeypatch, factor):
    lion("pytorch_optimizer", monkeypatch, factor)
    group = run()
    assert not group.line("pytorch_optimizer")
    assert group.left_out["pytorch_optimizer"].startswith("another formula: ")


def test_a_known_difference_is_a_note():
    assert run("lamb").notes[0] == references.DIFFERENT["LAMB"]
    assert run("lars").notes == []


@pytest.mark.parametrize("name", REFERENCES)
def test_an_installed_package_computes_what_gpuopt_does(name):
    package = REFERENCES[name]
    pytest.importorskip(package.module)
    for definition in OTHERS.values():
        if definition.name in package.optimizers and definition.name not in references.DIFFERENT:
            references.check(definition, package)


def test_optimizers_with_modes_train():
    calls = []
    made = references._ready(SimpleNamespace(train=lambda: calls.append("train")))
    assert calls == ["train"] and references._ready(made) is made
    assert references._ready(calls) is calls


@pytest.mark.parametrize("rule", OTHERS)
def test_the_copy_loop_moves_the_bytes_of_every_pass(rule, monkeypatch):
    moved = []

    def move(arrays, kept):
        moved.append(2 * len(arrays) - len(kept))
        return SimpleNamespace(run=lambda: None)

    def read(arrays):
        moved.append(len(arrays))
        return SimpleNamespace(run=lambda: None)

    monkeypatch.setattr(copyloop, "_moving", move)
    monkeypatch.setattr(copyloop, "_reading", read)
    references.copy_of(rule, PLACE, SHAPES)
    assert 4 * sum(moved) == contest.bytes_of(rule, "float32", {})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("lion", 20), ("lamb", 44), ("lars", 28), ("mars", 44), ("cautious_adamw", 36)],
)
def test_bytes_are_counted(rule, expected):
    """By hand: p and the states read and written, g read; what the sums are of, read once."""
    assert contest.bytes_of(rule, "float32", {}) == expected


@pytest.mark.parametrize("size", [7, 40_001])
def test_the_copy_loop_reads_first_and_all_of_it_once(size, monkeypatch):
    spans = []

    def noting(name):
        def compiled(*given):
            return lambda *arrays: spans.append((name, arrays[-1] - arrays[-2]))

        return compiled

    for name in ("_compiled", "_compiled_reads"):
        monkeypatch.setattr(copyloop, name, noting(name))
    copyloop.move_lists(size, 4, kept=(1, 3), first_read=(0, 3)).run()
    assert [*dict.fromkeys(name for name, _ in spans)] == ["_compiled_reads", "_compiled"]
    assert sum(span for name, span in spans if name == "_compiled_reads") == size // 2
    assert sum(span for name, span in spans if name == "_compiled") == size


def test_what_is_read_is_added_up_and_what_is_kept_is_not_written():
    words = [np.arange(10), np.arange(10) * 3]
    assert copyloop._compiled_reads(2)(*words, 2, 9) == sum(word[2:9].sum() for word in words)
    lists, ones = [np.zeros(10, np.float32) for _ in range(4)], [np.float32(1)] * 4
    lists[1][:], lists[2][:] = 2.0, 4.0
    copyloop._compiled(4, (1, 2))(*lists, *ones, 2, 9)
    inside = (np.arange(10) >= 2) & (np.arange(10) < 9)
    assert [array.tolist() for array in lists] == [
        (6.0 * inside).tolist(), [2.0] * 10, [4.0] * 10, (1.0 * inside).tolist()
    ]  # fmt: skip


@pytest.mark.parametrize("processor", [False, True])
def test_the_processors_time_is_measured_where_it_is_asked_for(processor, monkeypatch):
    clocks = []

    def clock(cold, processor):
        clocks.append(processor)
        return timing.HostClock()

    monkeypatch.setattr(measure, "HostClock", clock)
    assert run(processor=processor).lines
    assert clocks == [processor]


# --- rules and families on the command line ------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """Return a function that returns the settings that arguments make."""

    def asked(*arguments):
        kept = []
        suite = SimpleNamespace(run=lambda settings: kept.append(settings) or ())
        monkeypatch.setattr(command, "suite", lambda name: suite)
        assert command.main(list(arguments)) == 0
        return kept[-1]

    return asked


def test_without_a_rule_all_references_are_measured_and_of_updates_adam(asked):
    settings = asked("--suite", "references")
    assert (settings.rules, settings.others) == (["adam"], list(OTHERS))
    settings = asked("--rule", "all")
    assert (settings.rules, settings.others) == (list(CASES), list(OTHERS))


def test_a_family_stands_for_its_rules(asked):
    settings = asked("--rule", "family:momentum", "sgd")
    assert (settings.rules, settings.others) == (["momentum", "sgd"], ["lars"])
    settings = asked("--suite", "references", "--rule", "family:sums", "lars")
    assert settings.others == [name for name in OTHERS if RULES[name].sums]
    assert {"adam", "adamw", "amsgrad", "lamb"} <= set(FAMILIES["adam"])
    assert "lion" not in FAMILIES["adam"] and "sgd" not in FAMILIES["momentum"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rule", "lion"], "--rule: suite update does not measure lion"),
        (["--suite", "accuracy", "--rule", "lion"], "suite accuracy does not measure lion"),
        (["--suite", "references", "--rule", "adam"], "suite references does not measure adam"),
        (["--rule", "family:eve"], "'family:eve' is not one of 'sgd', "),
    ],
)
def test_rules_that_a_suite_does_not_have_are_refused(capsys, arguments, why):
    assert command.main(arguments) == 2
    assert why in words(capsys.readouterr().err)
