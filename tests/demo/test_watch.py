from math import inf, nan

import pytest

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


def test_a_healthy_run_is_not_remarked_on():
    losses = [2.3, 1.0, 0.1, 0.01, 0.001, 0.0001]
    norms = [(loss, loss, loss) for loss in losses]  # they vanish since there is nothing to learn
    assert told(epochs(losses, [2.3, 1.1, 0.3, 0.29, 0.3, 0.31], norms)) == []


def test_overfitting_is_reported_once_when_it_has_lasted():
    train = [2.3, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1]
    test = [2.3, 1.0, 0.6, 0.7, 0.7, 0.7, 0.8]
    (finding,) = findings(epochs(train, test))
    assert (finding.kind, finding.epoch, finding.layers) == ("overfitting", 5, ())
    assert "0.7, up from 0.6 in epoch 2" in finding.message
    assert "from 0.5 to 0.2" in finding.message


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ([2.3, 0.5, 0.6, 0.7, 0.8, 0.9], [2.3, 0.6, 0.7, 0.8, 0.9, 1.0]),  # it forgets everything
        ([2.3, 0.5, 0.4, 0.3, 0.2, 0.1], [2.3, 0.6, 0.62, 0.63, 0.64, 0.65]),  # hardly any worse
        ([2.3, 0.5, 0.4, 0.3, 0.2, 0.1], [2.3, 0.6, 0.8, 0.5, 0.7, 0.4]),  # it recovers
    ],
)
def test_a_worse_test_loss_alone_is_not_overfitting(train, test):
    assert told(epochs(train, test)) == []


def test_a_vanishing_gradient_is_reported_with_its_layers():
    norms = [(1.0, 1.0, 1.0), (0.1, 1.0, 1.0), (1e-4, 0.0, 1.0), (1e-4, 0.0, 1.0)]
    assert told(epochs([2.3, 2.3, 2.3, 2.3], norms=norms)) == [("vanishing gradient", 2, (1, 2))]


def test_a_layer_that_follows_later_is_reported_by_itself():
    norms = [(1.0, 1.0, 1.0), (0.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.0)]
    assert told(epochs([2.3, 2.3, 2.3, 2.3], norms=norms)) == [
        ("vanishing gradient", 1, (1,)),
        ("vanishing gradient", 2, (3,)),
    ]


def test_an_exploding_gradient_is_reported_with_its_layers():
    norms = [(1.0, 2.0, 1.0), (99.0, 199.0, 1.0), (101.0, 150.0, 1.0), (101.0, 201.0, 1.0)]
    assert told(epochs([2.3, 2.0, 2.0, 2.0], norms=norms)) == [
        ("exploding gradient", 2, (1,)),
        ("exploding gradient", 3, (2,)),
    ]


@pytest.mark.parametrize("number", [nan, inf])
def test_what_is_not_finite_is_reported_with_its_layers(number):
    norms = [(1.0, 1.0, 1.0), (1.0, number, number)]
    assert told(epochs([2.3, number], norms=norms)) == [("NaN", 1, (2, 3))]
    assert told(epochs([2.3, number])) == [("NaN", 1, ())]
    assert told(epochs([2.3, 2.0], norms=norms)) == [("NaN", 1, (2, 3))]


def test_layers_in_words():
    norms = [(1.0, 1.0, 1.0), (0.0, 0.0, 1.0)]
    (finding,) = findings(epochs([2.3, 2.3], norms=norms))
    assert finding.where == "layers 1, 2"
    (finding,) = findings(epochs([2.3, 2.3], norms=[norms[0], (1.0, 0.0, 1.0)]))
    assert finding.where == "layer 2"
