"""Regressions between two runs, and their threshold."""

import copy

import pytest

from benchmarks import __main__ as command
from benchmarks.lines import Group, Line, Place, Run
from tests.helpers.console import words

PLACE = Place("update", "adam", "float32", "16m", "cpu")
FACTS = {
    "date": "2026-01-01T00:00:00",
    "command": "",
    "machine": {},
    "device": "cpu",
    "load_average": None,
    "threads": 1,
    "rounds": 1,
}


def seconds(median):
    return {
        "median": median,
        "min": median,
        "quartiles": [median, median],
        "samples": [median],
        "steps_per_sample": 1,
    }


def a_run(**figures):
    """A run of llvm, a peer and an accuracy; ``figures`` override the defaults."""
    at = {"llvm": 1.0, "peer": 1.0, "of_copy": 0.9, "ulp": 2.0, **figures}
    lines = [
        Line(PLACE, "llvm", True, 1, 1, seconds=seconds(at["llvm"]), of_copy=at["of_copy"]),
        Line(PLACE, "peer", False, 1, 1, seconds=seconds(at["peer"])),
    ]
    ulps = {"steps": 1.0, "median": 0.0, "p99": 0.0, "max": at["ulp"]}
    place = Place("accuracy", "adam", "float32", "100 steps", "cpu")
    exact = Group(place, [Line(place, "llvm", True, 1, 1, ulps=ulps)])
    return Run(FACTS, [Group(PLACE, lines), exact])


@pytest.fixture
def compare(tmp_path):
    def compare(old, new, *options):
        files = []
        for name, run in (("old", old), ("new", new)):
            files.append(tmp_path / f"{name}.json")
            files[-1].write_text(run.dumps())
        return command.main(["compare", *map(str, files), *options])

    return compare


@pytest.mark.parametrize(
    "after, code",
    [
        ({}, 0),
        ({"llvm": 1.05}, 0),
        ({"llvm": 0.2}, 0),
        ({"llvm": 1.2}, 1),
        ({"peer": 5.0}, 0),
        ({"ulp": 2.5}, 1),
        ({"ulp": 0.0}, 0),
    ],
)
def test_it_fails_where_gpuopt_became_worse_beyond_the_threshold(compare, capsys, after, code):
    assert compare(a_run(), a_run(**after)) == code
    assert ("FAILED" in capsys.readouterr().out) == bool(code)


def test_the_threshold_is_the_callers(compare):
    assert compare(a_run(), a_run(llvm=1.2), "--threshold", "0.3") == 0
    assert compare(a_run(), a_run(llvm=1.05), "--threshold", "0.01") == 1


@pytest.mark.parametrize("threshold", ["nan", "inf", "-0.1", "ten"])
def test_a_threshold_that_lets_everything_pass_is_refused(compare, capsys, threshold):
    assert compare(a_run(), a_run(llvm=9.0), f"--threshold={threshold}") == 2
    why = f"'--threshold': expected a number of at least 0, got '{threshold}'"
    assert why in words(capsys.readouterr().err)


def test_another_machine_is_compared_by_the_part_of_its_copy(compare):
    assert compare(a_run(), a_run(llvm=9.0), "--by", "copy") == 0
    assert compare(a_run(), a_run(of_copy=0.5), "--by", "copy") == 1


def test_what_is_missing_fails(compare, capsys):
    after = copy.deepcopy(a_run())
    del after.groups[0].lines[0]
    assert compare(a_run(), after) == 1
    assert "missing" in capsys.readouterr().out
    assert compare(after, a_run()) == 0


def test_an_error_from_nothing_to_something_fails(compare):
    assert compare(a_run(ulp=0.0), a_run(ulp=1.0)) == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 1}', '{"schema": 2}'])
def test_a_file_of_something_else_is_an_error(compare, tmp_path, capsys, text):
    other, good = tmp_path / "other.json", tmp_path / "good.json"
    other.write_text(text)
    good.write_text(a_run().dumps())
    assert command.main(["compare", str(other), str(good)]) == 2
    assert "other.json" in capsys.readouterr().err
    assert command.main(["render", str(other), "--plot", str(tmp_path)]) == 2
