import pytest

from gpuopt.demo.comparison import Trial
from gpuopt.demo.methods import LISTED, METHODS, TUNED
from gpuopt.demo.sweep import RATES, curves, trials
from tests.demo.quickly import run_quickly

BATCH, MOMENTUM = METHODS["batch"], METHODS["momentum"]


@pytest.fixture(scope="module")
def swept(few_digits):
    """Batch GD and Momentum with rates that do, and one that does not."""
    tried = trials([BATCH, MOMENTUM], [0.01, 0.1, 1e30], [0.5, 0.9])
    return curves(run_quickly(tried, few_digits, epochs=2))


def test_every_rate_is_tried_with_every_method_and_every_beta_with_those_that_have_one():
    assert trials([BATCH, MOMENTUM], [0.1, 1.0], [0.5, 0.9]) == [
        Trial(BATCH, 0.1),
        Trial(BATCH, 1.0),
        *(Trial(MOMENTUM, rate, beta) for beta in (0.5, 0.9) for rate in (0.1, 1.0)),
    ]
    assert trials([MOMENTUM], [0.1]) == [Trial(MOMENTUM, 0.1)]


def test_the_default_rates_hold_every_methods_own():
    assert {*TUNED.values(), *(m.lr for m in LISTED)} - {TUNED["Adadelta"]} <= set(RATES)
    assert list(RATES) == sorted(RATES)


def test_a_curve_holds_the_results_of_one_method_and_one_beta(swept):
    assert [curve.label for curve in swept] == [
        "batch GD",
        "Momentum, beta 0.5",
        "Momentum, beta 0.9",
    ]
    for curve in swept:
        assert [result.trial.learning_rate for result in curve.results] == [0.01, 0.1, 1e30]
        assert {result.trial.beta for result in curve.results} == {curve.beta}


def test_the_best_has_the_lowest_loss_of_those_that_did_not_diverge(swept):
    for curve in swept:
        assert curve.results[-1].diverged
        assert curve.best is min(curve.results[:-1], key=lambda result: result.final.train_loss)


def test_there_is_no_best_where_all_diverged(few_digits):
    (curve,) = curves(run_quickly(trials([BATCH], [1e30]), few_digits))
    assert curve.best is None
    assert curve.rates_reaching() == ()


def test_the_rates_that_reach_an_accuracy(swept):
    curve = swept[2]
    accuracies = [result.final.test_accuracy for result in curve.results]
    assert curve.rates_reaching(0.0) == (0.01, 0.1, 1e30)
    assert accuracies[1] > accuracies[0]
    assert curve.rates_reaching(accuracies[1]) == (0.1,)
    assert curve.rates_reaching(1.01) == ()
