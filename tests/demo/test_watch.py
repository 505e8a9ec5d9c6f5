from math import inf, nan

import pytest

from benchmarks.warnings import came_true
from gpuopt.demo.comparison import Settings, Trial, run
from gpuopt.demo.methods import METHODS
from gpuopt.demo.training import Epoch
from gpuopt.demo.watch import Watch


def epochs(train, test=None, norms=None):
    """Epochs from their training losses; the test losses and the norms follow, if not given."""
    test = train if test is None else test
    norms = [(1.0, 1.0, 1.0)] * len(train) if norms is None else norms
    rows = zip(train, test, norms, strict=True)
    return [Epoch(n, a, b, 0.5, 0.5, tuple(norm)) for n, (a, b, norm) in enumerate(rows)]


def findings(found):
    watch = Watch()
    return [finding for epoch in found for finding in watch.look(epoch)]


def told(found):
    return [(finding.kind, finding.epoch, finding.layers) for finding in findings(found)]


HIGH = 2.3  # the loss of guessing
NORMAL, DEAD, GONE = (1.0, 1.0, 1.0), (0.0, 1.0, 1.0), 1e-4


def test_a_healthy_run_is_not_remarked_on():
    losses = [2.3, 1.0, 0.1, *(0.1**power for power in range(2, 20))]
    norms = [(loss, loss, loss) for loss in losses]  # they vanish since there is nothing to learn
    test = [2.3, 1.1, 0.3, 0.29, *(0.3 + 0.001 * n for n in range(17))]
    assert told(epochs(losses, test, norms)) == []


# --- overfitting ------------------------------------------------------------------------------

FALLING = [2.3, 1.0, 0.5, *(0.4 - 0.02 * n for n in range(14))]


def test_overfitting_is_reported_once_when_it_has_lasted():
    test = [2.3, 1.0, 0.6, *[0.7] * 14]
    (finding,) = findings(epochs(FALLING, test))
    assert (finding.kind, finding.epoch, finding.layers) == ("overfitting", 10, ())
    assert "0.7, for 8 epochs more than 1.1 times the 0.6 of epoch 2" in finding.message
    assert "from 0.5 to 0.26" in finding.message


def test_a_test_loss_that_comes_near_its_lowest_again_starts_the_wait_anew():
    test = [2.3, 1.0, 0.6, 0.7, 0.7, 0.65, *[0.7] * 11]
    assert told(epochs(FALLING, test)) == [("overfitting", 13, ())]
    assert told(epochs(FALLING[:13], test[:13])) == []


@pytest.mark.parametrize(
    ("train", "after"),
    [
        ([2.3, 1.0, 0.5, *[0.5 + 0.1 * n for n in range(14)]], [0.9] * 14),  # it forgets everything
        (FALLING, [0.65] * 14),  # hardly any worse
        (FALLING, [0.9, 0.9, 0.5, 0.9, 0.8, 0.4] * 2 + [0.9, 0.9]),  # it recovers
    ],
)
def test_a_worse_test_loss_alone_is_not_overfitting(train, after):
    assert told(epochs(train, [2.3, 1.0, 0.6, *after])) == []


def test_momentum_at_seed_3_is_not_said_to_overfit_while_it_still_learns(digits):
    found = run(Trial(METHODS["momentum"]), digits, Settings(seed=3))
    assert all(came_true(finding, found.epochs) for finding in found.findings)


# --- vanishing and exploding gradients --------------------------------------------------------


def test_a_vanishing_gradient_is_reported_with_its_layers_when_it_has_lasted():
    norms = [NORMAL, *[(GONE, 0.0, 1.0)] * 9]
    assert told(epochs([HIGH] * 10, norms=norms)) == [("vanishing gradient", 8, (1, 2))]


def test_a_gradient_that_is_next_to_nothing_from_the_start_has_vanished():
    assert told(epochs([HIGH] * 8, norms=[(GONE, 1.0, 1.0)] * 8)) == [
        ("vanishing gradient", 7, (1,))
    ]


def test_a_layer_that_follows_later_is_reported_by_itself():
    norms = [NORMAL, DEAD, *[(0.0, 1.0, 0.0)] * 8]
    assert told(epochs([HIGH] * 10, norms=norms)) == [
        ("vanishing gradient", 8, (1,)),
        ("vanishing gradient", 9, (3,)),
    ]


@pytest.mark.parametrize(
    ("losses", "norms"),
    [
        ([HIGH] * 16, [NORMAL, *[DEAD] * 7] * 2),
        ([HIGH, *[1.0] * 19], [NORMAL, *[DEAD] * 19]),  # it has learned nevertheless
    ],
)
def test_a_small_gradient_that_comes_back_or_is_not_needed_has_not_vanished(losses, norms):
    assert told(epochs(losses, norms=norms)) == []


def test_an_exploding_gradient_is_reported_with_its_layers():
    norms = [NORMAL, (29.0, 31.0, 1.0), (31.0, 31.0, 1.0), (31.0, 31.0, 1.0)]
    assert told(epochs([HIGH, 5.0, 5.0, 5.0], norms=norms)) == [
        ("exploding gradient", 1, (2,)),
        ("exploding gradient", 2, (1,)),
    ]


def test_a_large_gradient_with_which_the_loss_falls_has_not_exploded():
    norms = [(2000.0, 900.0, 1.0), (800.0, 90.0, 1.0), NORMAL]
    assert told(epochs([600.0, 70.0, 2.0], norms=norms)) == []


@pytest.mark.parametrize("number", [nan, inf])
def test_what_is_not_finite_is_reported_with_its_layers(number):
    norms = [(1.0, 1.0, 1.0), (1.0, number, number)]
    assert told(epochs([2.3, number], norms=norms)) == [("NaN", 1, (2, 3))]
    assert told(epochs([2.3, number])) == [("NaN", 1, ())]
    assert told(epochs([2.3, 2.0], norms=norms)) == [("NaN", 1, (2, 3))]


def test_layers_in_words():
    norms = [NORMAL, (99.0, 99.0, 1.0)]
    (finding,) = findings(epochs([2.3, 9.0], norms=norms))
    assert finding.where == "layers 1, 2"
    (finding,) = findings(epochs([2.3, 9.0], norms=[NORMAL, (1.0, 99.0, 1.0)]))
    assert finding.where == "layer 2"
