import re
from dataclasses import replace
from io import StringIO
from math import nan

import pytest
from rich.console import Console

from gpuopt.demo.console import PIPE_WIDTH, print_tables
from gpuopt.demo.methods import DEFAULT, METHODS
from gpuopt.demo.sweep import curves, trials
from gpuopt.demo.tables import comparison_tables, loss_text, percent, sweep_tables
from tests.demo.quickly import run_quickly

ORIGIN = "where all the numbers come from, in a line that is longer than eighty columns are wide"


def printed(tables, width=PIPE_WIDTH, **options):
    stream = StringIO()
    print_tables(Console(file=stream, width=width, **options), tables)
    return stream.getvalue()


def cells(text, method):
    """The cells behind a method's name."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{method} ")]
    return line.replace(method, "").split()


@pytest.fixture
def ended(results):
    """The results, but Adam ended like this."""
    *others, adam = results
    epochs = [replace(epoch, test_accuracy=0.5) for epoch in adam.epochs]
    epochs[2] = replace(epochs[2], test_accuracy=0.96)
    epochs[-1] = replace(epochs[-1], train_loss=1.23456e-5, test_loss=0.5, test_accuracy=0.975)
    clock = replace(adam.clock, seconds=[0.0012345])
    return [*others, replace(adam, epochs=tuple(epochs), clock=clock)]


def test_a_row_for_each_method(results):
    text = printed(comparison_tables(results, ORIGIN))
    for result in results:
        assert cells(text, result.trial.method.label)[0] == f"{result.trial.method.lr:g}"
    assert ORIGIN in text


def test_the_cells_of_a_row(ended):
    text = printed(comparison_tables(ended, ORIGIN))
    expected = ["0.01", "numpy", "4", "1.23e-05", "0.5", "97.5%", "2", "1.234", "no"]
    assert cells(text, "Adam") == expected
    assert cells(text, "batch GD")[-3] == "never"


def test_a_method_that_ended_at_nan(ended):
    *others, adam = ended
    last = replace(adam.final, train_loss=nan, test_loss=nan)
    text = printed(comparison_tables([*others, replace(adam, epochs=(last,))], ORIGIN))
    assert cells(text, "Adam")[3:5] == ["nan", "nan"]
    assert cells(text, "Adam")[-1] == "yes"


def test_the_best_of_each_column_stands_out(ended):
    text = printed(comparison_tables(ended, ORIGIN), force_terminal=True, color_system="standard")
    for best in ("1.23e-05", "97.5%"):
        assert re.search(rf"\x1b\[1;32m *{re.escape(best)}", text)
    assert not re.search(r"\x1b\[1;32m *never", text)
    assert len(re.findall(r"\x1b\[1;32m", text)) == 4  # one for each column that has a best


@pytest.mark.parametrize("width", [80, PIPE_WIDTH])
def test_nothing_is_cut_off(ended, width):
    text = printed(comparison_tables(ended, ORIGIN), width)
    assert "…" not in text
    assert cells(text, "stochastic GD")[-1] == "no"
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [72, 60, 50, 40, 30, 20])
def test_columns_go_before_a_name_is_cut(ended, width):
    text = printed(comparison_tables(ended, ORIGIN), width)
    assert "…" not in text
    names = [result.trial.method.label for result in ended]
    rows = [line.strip() for line in text.splitlines()]
    assert [
        name for name in names if any(f"{row} ".startswith(f"{name} ") for row in rows)
    ] == names
    assert max(map(len, text.splitlines())) <= width
    said = " ".join(text.split())
    assert "No room for: " in said and "--json has all of it." in said
    heads = said.partition("batch GD")[0]
    assert ("ms per" in heads) == (width >= 74)


@pytest.mark.parametrize("width", [60, 30])
def test_what_is_left_out_is_named_and_the_rest_is_whole(ended, width):
    text = printed(comparison_tables(ended, ORIGIN), width)
    named = " ".join(text.split()).partition("No room for: ")[2].partition(".")[0].split(", ")
    assert {"ms per step", "backend", "epochs"} <= set(named)
    assert "lr" in named or width == 60
    wide = cells(printed(comparison_tables(ended, ORIGIN), 200), "Adam")
    narrow = cells(text, "Adam")
    assert len(narrow) == len(wide) - len(named)
    assert set(narrow) <= set(wide)


@pytest.mark.parametrize("width", [60, 30, 8])
def test_the_tables_of_a_sweep_keep_their_names_on_a_narrow_terminal(swept, width):
    text = printed(sweep_tables(swept, ORIGIN), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    if width > 8:
        for curve in swept:
            assert any(line.strip().startswith(curve.label) for line in text.splitlines())


@pytest.fixture(scope="module")
def swept(few_digits):
    """All the default methods, with one rate that does and one that does not."""
    tried = trials(DEFAULT, [0.01, 1e30], [0.5, 0.9])
    return curves(run_quickly(tried, few_digits))


def test_a_row_for_each_rate_and_a_column_for_each_curve(swept):
    text = printed(sweep_tables(swept, ORIGIN))
    losses = [loss_text(curve.results[0].final.train_loss) for curve in swept]
    rows = [line.split() for line in text.splitlines()]
    found, diverged = (
        [cell for row in rows if row[:1] == [rate] for cell in row[1:]]
        for rate in ("0.01", "1e+30")
    )
    assert found == losses
    assert diverged == ["diverged"] * len(swept)


def test_the_best_of_each_curve(swept):
    text = printed(sweep_tables(swept, ORIGIN))
    for curve in swept:
        final = curve.results[0].final
        expected = ["0.01", loss_text(final.train_loss), loss_text(final.test_loss)]
        assert cells(text, curve.label)[:4] == [*expected, percent(final.test_accuracy)]


def test_a_sweep_that_was_cut_short_has_empty_cells(swept):
    *whole, last = swept[:4]
    text = printed(sweep_tables([*whole, replace(last, results=last.results[:1])], ORIGIN))
    lengths = [len(line.split()) for line in text.splitlines() if "1e+30" in line]
    assert lengths == [4]


def test_a_method_that_always_diverges_has_no_best(few_digits):
    tried = trials([METHODS["batch"]], [1e30])
    text = printed(sweep_tables(curves(run_quickly(tried, few_digits)), ORIGIN))
    assert cells(text, "batch GD") == ["none", "-", "-", "-", "none"]
