import pytest

from gpuopt.inspection import flow
from gpuopt.inspection.flow import MainPath


def test_a_loop_and_a_masked_path():
    #        0 -> 1 -> 2 <-> 3 -> 4     2 and 3 are the loop
    #             1 -> 5                5 is the masked path
    graph = [[1], [2, 5], [3], [2, 4], [], []]
    assert flow.main_path(graph, main=[3], masked=[5]) == MainPath((2, 3), (), (0, 1))


def test_what_leads_to_the_loop_alone_is_part_of_the_path():
    graph = [[1, 4], [2], [2, 3], [], []]
    assert flow.main_path(graph, main=[2], masked=[4]) == MainPath((2,), (1,), (0,))


def test_a_round_that_was_peeled_off():
    graph = [[1, 3], [2], [2], []]
    assert flow.main_path(graph, main=[1, 2], masked=[3]) == MainPath((2,), (1,), (0,))


def test_an_unrolled_path():
    graph = [[1, 3], [2], [], []]
    assert flow.main_path(graph, main=[1, 2], masked=[3]) == MainPath((), (1, 2), (0,))


def test_no_masked_path():
    assert flow.main_path([[1], [1, 2], []], main=[1], masked=[]) == MainPath((1,), (0,), ())


@pytest.mark.parametrize(
    ("graph", "main", "masked", "message"),
    [
        ([[1], []], [], [1], "no store is without a mask"),
        ([[1], [1, 2], [2]], [1, 2], [], "2 loops"),
        ([[1], [2], []], [1], [2], "not apart"),
        ([[], []], [1], [], "no store is without a mask"),
    ],
)
def test_what_cannot_be_told_is_refused(graph, main, masked, message):
    with pytest.raises(ValueError, match=message):
        flow.main_path(graph, main, masked)


def test_a_jump_into_nowhere_is_refused():
    with pytest.raises(ValueError, match="nowhere"):
        flow.graph_of([flow.Block("", (), "nowhere")])


def test_without_cuts_in_both_directions():
    assert flow.without([[1, 2], [2], [0]], [1]) == [[2], [], [0]]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ([[1, 2], [2], []], {1}),
        ([[1, 3], [2], [3], []], {1, 2}),  # two in a row
        ([[1, 2], [3], [3], []], set()),  # one or the other
        ([[1, 3], [2, 3], [3], []], {2}),  # not in a row
        ([[1, 3], [2], [3], [2]], set()),  # entered from elsewhere
        ([[1, 3], [2], [1], []], set()),  # a loop
    ],
)
def test_blocks_that_a_condition_guards(graph, expected):
    assert flow.skipped(graph) == expected
