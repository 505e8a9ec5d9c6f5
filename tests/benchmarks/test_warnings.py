"""Which warnings count as correct, and which runs needed one."""

from dataclasses import replace

import pytest

from benchmarks import warnings
from benchmarks.warnings import GRADIENTS, SCENARIOS, Scenario, came_true, needed, row
from gpuopt.demo.comparison import Result, Settings, Trial
from gpuopt.demo.data import Digits, Split
from gpuopt.demo.methods import METHODS
from gpuopt.demo.training import Epoch, StepClock
from gpuopt.demo.watch import EXPLODING, NAN, OVERFITTING, VANISHING, Finding

HIGH = 2.31
NAN_LOSS = float("nan")


def epochs(train, test=None, norms=None):
    test = train if test is None else test
    norms = [1.0] * len(train) if norms is None else norms
    rows = zip(train, test, norms, strict=True)
    return tuple(Epoch(n, a, b, 0.5, 0.5, (norm, 1.0)) for n, (a, b, norm) in enumerate(rows))


def finding(kind, epoch, *layers):
    return Finding(kind, epoch, layers, "")


@pytest.mark.parametrize(
    ("rest", "true"), [([0.7, 0.6, 0.5], True), ([0.7, 0.49, 0.6], False), ([], True)]
)
def test_overfitting_comes_true_if_the_test_loss_never_beats_its_best(rest, true):
    found = epochs([0.1] * (3 + len(rest)), [2.3, 0.5, 0.6, *rest])
    assert came_true(finding(OVERFITTING, 2), found) is true


@pytest.mark.parametrize(
    ("losses", "norms", "true"),
    [
        ([HIGH, HIGH], [0.0, 0.0], True),
        ([HIGH, HIGH], [0.0, 0.1], False),
        ([HIGH, 1.0], [0.0, 0.0], False),
    ],
)
def test_a_vanished_gradient_stays_away_and_the_loss_high(losses, norms, true):
    found = epochs([HIGH, *losses], norms=[0.0, *norms])
    assert came_true(finding(VANISHING, 0, 1), found) is true


@pytest.mark.parametrize(
    ("rest", "true"),
    [([500.0, HIGH], True), ([500.0, NAN_LOSS], True), ([500.0, 1.0, HIGH], False)],
)
def test_after_an_explosion_nothing_is_learned(rest, true):
    found = epochs([HIGH, 9e9, *rest])
    assert came_true(finding(EXPLODING, 1, 1), found) is true


def test_who_needed_a_warning():
    assert needed((OVERFITTING,), epochs([2.3, 0.5, 0.1], [2.3, 0.5, 0.6]))
    assert not needed((OVERFITTING,), epochs([2.3, 0.5, 0.1], [2.3, 0.5, 0.51]))
    assert not needed((OVERFITTING,), epochs([2.3, 0.5, 0.9], [2.3, 0.5, 0.6]))
    assert needed((VANISHING,), epochs([2.3, HIGH]))
    assert needed((EXPLODING,), epochs([2.3, NAN_LOSS]))
    assert not needed((VANISHING,), epochs([2.3, 2.0]))


def test_a_row_counts_each_layer_and_each_run():
    trial = Trial(METHODS["adam"])
    stuck, learned = epochs([HIGH] * 3, norms=[0.0] * 3), epochs([HIGH, 1.0, 0.1])
    results = [
        Result(trial, 32, "", stuck, (finding(VANISHING, 1, 1, 2), finding(NAN, 2)), StepClock()),
        Result(trial, 32, "", learned, (), StepClock()),
        Result(trial, 32, "", stuck, (), StepClock()),
    ]
    expected = ("vanishing gradient", "3", "1", "2", "1", "50%", "2", "1", "50%")
    assert row(VANISHING, GRADIENTS[VANISHING], results) == expected
    assert row(EXPLODING, GRADIENTS[EXPLODING], results[1:2])[2:] == (
        *("0", "0", "0", "-"),
        *("0", "0", "-"),
    )


def test_scenarios_train_each_method_and_all_that_is_made_to_fail_leaves_stochastic_out(few_digits):
    quick = [replace(s, settings=replace(s.settings, epochs=1)) for s in SCENARIOS]
    names = [[r.trial.method.name for r in s.runs(few_digits, 3)] for s in quick]
    assert names[0][:2] == ["batch", "stochastic"]
    assert {len(each) for each in names[1:]} == {5}
    few = Scenario("few", GRADIENTS, Settings(epochs=1), lr=0.5, images=7)
    (result, *_) = few.runs(few_digits, 0)
    assert (result.batch_size, result.trial.lr) == (7, 0.5)


def test_the_command_prints_a_table_of_each_scenario(few_digits, monkeypatch, capsys):
    quick = [Scenario("quick", GRADIENTS, Settings(epochs=1), lr=1e30)]
    monkeypatch.setattr(warnings, "SCENARIOS", quick)
    monkeypatch.setattr(warnings.data, "load", lambda: few_digits)
    assert warnings.main(["--seeds", "2", "--first", "5"]) == 0
    shown = capsys.readouterr().out
    assert "quick, seeds 5 to 6" in shown
    (line,) = [line for line in shown.splitlines() if "any of the gradient" in line]
    assert line.split()[-8:] == ["10", "10", "30", "30", "100%", "10", "10", "100%"]


@pytest.fixture
def few_digits(digits):
    def first(split, count):
        return Split(split.images[:count], split.labels[:count])

    return Digits(first(digits.train, 100), first(digits.test, 50))


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return warnings.data.load()
