"""Which targets a run has met."""

import pytest

from benchmarks.lines import Group, Line, Place
from benchmarks.targets import Target


def group(rule, ratios, model="16m", of_copy=None):
    place = Place("update", rule, "float32", model, "cpu")
    line = Line(place, "llvm", True, 1, 1, times_as_fast_as=ratios, of_copy=of_copy)
    return Group(place, [line])


def target(peer):
    return Target("16m", ("adam", "adagrad"), "llvm", peer, 1.5)


@pytest.mark.parametrize("order", [1, -1])
def test_the_slowest_rule_counts(order):
    groups = [group("adam", {"torch fused": 2.0}), group("adagrad", {"torch fused": 1.25})]
    groups += [group("sgd", {"torch fused": 0.5}), group("adam", {"torch fused": 0.5}, "gpt2")]
    assert target("torch fused").measured(groups[::order]) == 1.25


def test_the_fastest_form_of_torch_counts():
    ratios = {"torch fused": 1.75, "torch foreach": 3.0, "another": 0.5}
    assert target("torch").measured([group("adam", ratios)]) == 1.75


def test_the_copy_is_no_peer():
    assert target("copy").measured([group("adam", {"torch fused": 2.0}, of_copy=0.75)]) == 0.75


def test_the_fastest_peer_counts_where_any_is_meant():
    ratios = {"a package": 3.0, "a package, foreach": 1.75, "another": 2.0}
    assert target("any peer").measured([group("adam", ratios, of_copy=0.5)]) == 1.75


def test_what_was_not_measured_has_no_speedup():
    assert target("torch").measured([group("adam", {})]) is None
    assert target("copy").measured([]) is None
    assert target("any peer").measured([group("adam", {})]) is None
