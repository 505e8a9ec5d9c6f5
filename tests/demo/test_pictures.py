from dataclasses import replace
from itertools import combinations
from math import nan

import pytest

from gpuopt.demo.comparison import Trial
from gpuopt.demo.comparison_picture import comparison_figure
from gpuopt.demo.methods import DEFAULT, METHODS
from gpuopt.demo.scales import plain
from gpuopt.demo.style import MOST_LINES, STYLES, styles_of
from gpuopt.demo.sweep import curves, trials
from gpuopt.demo.sweep_picture import sweep_figure
from gpuopt.demo.watch import Finding
from tests.demo.quickly import run_quickly
from tests.helpers.scripts import run_script

matplotlib = pytest.importorskip("matplotlib")

ORIGIN = "1437 handwritten digits to train on, 360 to test on; network 64-64-32-10; seed 0"
RATES = [0.001, 0.01, 1e30]


def drawn(figure, monkeypatch):
    """Every text that is drawn into the figure, with the box that it takes."""
    found = {}
    draw = matplotlib.text.Text.draw

    def note(text, renderer):
        if text.get_visible() and text.get_text().strip():
            found[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(matplotlib.text.Text, "draw", note)
    figure.draw_without_rendering()
    return list(found.items())


def lines(panel):
    """The curves of a panel by their colour and line, without rings, crosses and limits."""
    return {
        (line.get_color(), line.get_linestyle()): line
        for line in panel.lines
        if line.get_linestyle() != "None" and len(line.get_xdata()) > 2
    }


@pytest.fixture(scope="module")
def everything(few_digits):
    """A result for each method there is."""
    return run_quickly([Trial(method) for method in METHODS.values()], few_digits, epochs=3)


@pytest.fixture(scope="module")
def some(everything):
    """As many results as a picture shows as lines, with the last methods there are."""
    return [*everything[: MOST_LINES - 4], *everything[-4:]]


@pytest.fixture(scope="module")
def swept_all(few_digits):
    fast = [method for method in METHODS.values() if method.batch_size is None]
    return curves(run_quickly(trials(fast, RATES), few_digits))


@pytest.fixture(scope="module")
def swept(few_digits):
    return run_quickly(trials(DEFAULT, RATES), few_digits)


@pytest.fixture(scope="module")
def swept_with_betas(few_digits):
    return run_quickly(trials(DEFAULT, RATES, [0.5, 0.9]), few_digits)


@pytest.fixture(
    params=[
        *("few methods", "some methods", "all methods", "one rate"),
        *("sweep", "sweep of all", "few betas", "many betas"),
    ]
)
def figure(request, results, some, everything, swept, swept_all, swept_with_betas, few_digits):
    """Every kind of picture."""
    if request.param == "few methods":
        return comparison_figure(results, ORIGIN)
    if request.param == "some methods":
        return comparison_figure(some, ORIGIN)
    if request.param == "sweep of all":
        return sweep_figure(swept_all, ORIGIN)
    if request.param == "all methods":
        return comparison_figure(everything, ORIGIN)
    if request.param == "one rate":
        same = run_quickly([Trial(method, 1e-9) for method in DEFAULT], few_digits)
        return comparison_figure(same, ORIGIN)
    if request.param == "sweep":
        return sweep_figure(curves(swept), ORIGIN)
    if request.param == "few betas":
        return sweep_figure(curves(swept_with_betas), ORIGIN)
    tried = trials([*METHODS.values()][:MOST_LINES], [0.0001, 3.0], [0.5, 0.9, 0.99])
    return sweep_figure(curves(run_quickly(tried, few_digits)), ORIGIN)


def test_every_text_is_legible(figure, monkeypatch):
    found = drawn(figure, monkeypatch)
    assert len(found) > 20
    page = figure.bbox
    for text, box in found:
        assert page.x0 <= box.x0 and box.x1 <= page.x1, text
        assert page.y0 <= box.y0 and box.y1 <= page.y1, text
        assert "times" not in text.get_text()  # 2.5 x 10^0
    for (text, box), (other, place) in combinations(found, 2):
        assert not box.overlaps(place), (text, other)


def test_every_scale_has_a_number(figure):
    for panel in figure.axes:
        low, high = sorted(panel.get_ylim())
        assert any(low <= tick <= high for tick in panel.get_yticks())


def test_a_comparison_shows_losses_accuracy_and_the_gradients_of_each_layer(results):
    figure = comparison_figure(results, ORIGIN)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    layers = [f"Gradient norm, layer {layer}" for layer in (1, 2, 3)]
    assert titles == ["Training loss", "Test loss", "Test accuracy", *layers]
    scales = [panel.get_yscale() for panel in figure.axes]
    assert scales == ["log", "log", "function", "log", "log", "log"]


def test_a_comparison_draws_what_was_measured(some):
    figure = comparison_figure(some, ORIGIN)
    styles = styles_of(result.trial.method.name for result in some)
    quantities = [
        lambda epoch: epoch.train_loss,
        lambda epoch: epoch.test_loss,
        lambda epoch: epoch.test_accuracy,
        *(lambda epoch, layer=layer: epoch.gradient_norms[layer] for layer in range(3)),
    ]
    for panel, quantity in zip(figure.axes, quantities, strict=True):
        for result in some:
            line = lines(panel)[styles[result.trial.method.name]]
            assert list(line.get_xdata()) == [0, 1, 2, 3]
            assert list(line.get_ydata()) == [quantity(epoch) for epoch in result.epochs]


def test_the_legend_names_every_method_with_its_learning_rate(some):
    (legend,) = comparison_figure(some, ORIGIN).legends
    names = {text.get_text() for text in legend.get_texts()}
    methods = [result.trial.method for result in some]
    assert names == {f"{method.label}, lr {method.lr:g}" for method in methods}


def row_names(panel):
    return [label.get_text() for label in panel.get_yticklabels()]


def test_many_methods_are_rows_with_their_final_numbers(everything):
    *others, last = everything
    learned = replace(last.final, train_loss=0.0)
    diverged = replace(others[0].epochs[-1], train_loss=nan)
    everything = [
        replace(others[0], epochs=(*others[0].epochs[:-1], diverged)),
        *others[1:],
        replace(last, epochs=(*last.epochs[:-1], learned)),
    ]
    panels = comparison_figure(everything, ORIGIN).axes
    assert [p.get_title(loc="left") for p in panels] == [
        *("Training loss", "Test loss", "Test accuracy"),
    ]
    methods = [result.trial.method for result in everything]
    assert row_names(panels[0]) == [f"{method.label}, lr {method.lr:g}" for method in methods]
    (dots,) = [line for line in panels[0].lines if line.get_marker() == "o"]
    finals = {row: result.final.train_loss for row, result in enumerate(everything[:-1]) if row}
    finals = {row: x for row, x in finals.items() if not everything[row].diverged}
    assert dict(zip(dots.get_ydata(), dots.get_xdata(), strict=True)) == finals
    said = {text.get_position()[1]: text.get_text() for text in panels[0].texts}
    assert (said[0], said[len(everything) - 1]) == ("diverged", "0")
    assert {*said} == {*range(len(everything))} - {*finals}


def test_many_curves_are_rows_of_a_sweep(swept_all):
    panel, bar = sweep_figure(swept_all, ORIGIN).axes
    assert row_names(panel) == [curve.label for curve in swept_all]
    (mesh,) = panel.collections
    cells = mesh.get_array().reshape(len(swept_all), len(RATES))
    best = {line.get_ydata()[0]: line for line in panel.lines if line.get_marker() == "o"}
    crosses = [line for line in panel.lines if line.get_marker() == "x"]
    for row, (curve, cross) in enumerate(zip(swept_all, crosses, strict=True)):
        diverged = [column for column, r in enumerate(curve.results) if r.diverged]
        assert list(cross.get_xdata()) == diverged
        for column, result in enumerate(curve.results):
            if not result.diverged:
                assert cells[row, column] == result.final.train_loss
        if curve.best:
            assert list(best[row].get_xdata()) == [curve.results.index(curve.best)]
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        *(plain(rate) for rate in RATES),
    ]
    assert all("times" not in label.get_text() for label in bar.get_yticklabels())


def test_a_learning_rate_that_all_share_is_not_repeated(results):
    shared = [replace(result, trial=replace(result.trial, lr=0.5)) for result in results]
    (legend,) = comparison_figure(shared, ORIGIN).legends
    assert {text.get_text() for text in legend.get_texts()} == {m.label for m in DEFAULT}


def test_the_gradients_of_all_layers_share_one_scale(results):
    first, *others = comparison_figure(results, ORIGIN).axes[3:]
    assert first.yaxis.get_tick_params()["labelleft"]
    for panel in others:
        assert panel.get_ylim() == first.get_ylim()
        assert not panel.yaxis.get_tick_params()["labelleft"]


def legend_names(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_rings_show_where_overfitting_was_noticed_and_the_legend_above_the_panels_says_so(results):
    noticed = replace(results[-1], findings=(Finding("overfitting", 2, (), ""),))
    figure = comparison_figure([*results[:-1], noticed], ORIGIN)
    panel = figure.axes[1]
    (ring,) = [line for line in panel.lines if line.get_marker() == "o"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([2], [noticed.epochs[2].test_loss])
    assert "overfitting noticed" in legend_names(figure)
    assert all(panel.get_legend() is None for panel in figure.axes)
    assert "overfitting noticed" not in legend_names(comparison_figure(results[:1], ORIGIN))


def test_no_curve_runs_through_the_legend(figure):
    figure.draw_without_rendering()
    if not figure.legends:  # rows have names
        return
    (legend,) = figure.legends
    bottom = legend.get_window_extent().y0
    assert all(panel.get_tightbbox().y1 <= bottom for panel in figure.axes)
    assert all(panel.get_legend() is None for panel in figure.axes)


def test_zeros_have_a_row_of_their_own_below_a_logarithmic_scale(results):
    """A line to zero has no end there: it was drawn as a stroke through the axis."""

    def dead(result, *layers):
        first, *rest = result.epochs
        norms = [0.0 if layer in layers else 1.0 for layer in range(3)]
        return replace(
            result, epochs=(first, *(replace(e, gradient_norms=tuple(norms)) for e in rest))
        )

    two = [dead(results[0], 0), dead(results[1], 0, 1)]
    figure = comparison_figure([*two, *results[2:]], ORIGIN)
    figure.draw_without_rendering()
    below = min(n for r in results for e in r.epochs for n in e.gradient_norms)
    for layer, panel in enumerate(figure.axes[3:]):
        drawn_lines = lines(panel)
        rows = [drawn_lines[STYLES[r.trial.method.name]].get_ydata()[-1] for r in two]
        assert [row < below for row in rows] == [layer == 0, layer < 2]
        assert all(row > panel.get_ylim()[0] for row in rows)
        assert len(set(rows)) == (2 if layer < 2 else 1)
    loss, *_, first, _, _ = figure.axes
    assert "0" in [label.get_text() for label in first.get_yticklabels()]
    assert "0" not in [label.get_text() for label in loss.get_yticklabels()]


def test_a_training_loss_of_zero_is_drawn(results):
    *epochs, last = results[-1].epochs
    learned = replace(results[-1], epochs=(*epochs, replace(last, train_loss=0.0)))
    panel = comparison_figure([learned], ORIGIN).axes[0]
    (line,) = lines(panel).values()
    low, _ = panel.get_ylim()
    assert low < line.get_ydata()[-1] < min(epoch.train_loss for epoch in epochs)


def test_nothing_but_zeros_can_be_drawn(results):
    epochs = [replace(e, gradient_norms=(0.0, 0.0, 0.0), train_loss=0.0) for e in results[0].epochs]
    comparison_figure([replace(results[0], epochs=tuple(epochs))], ORIGIN).draw_without_rendering()


@pytest.mark.parametrize("words", [3, 200])
def test_a_long_origin_is_wrapped(results, words, monkeypatch):
    figure = comparison_figure(results, " ".join(["gpuopt compare"] * words))
    for text, box in drawn(figure, monkeypatch):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text


def test_a_cross_shows_where_a_method_ended_at_nan(results):
    *epochs, last = results[-1].epochs
    ended = replace(results[-1], epochs=(*epochs, replace(last, train_loss=nan)))
    panel = comparison_figure([*results[:-1], ended], ORIGIN).axes[0]
    (cross,) = [line for line in panel.lines if line.get_marker() == "X"]
    assert list(cross.get_xdata()) == [epochs[-1].number]
    assert "then NaN or infinity" in legend_names(panel.get_figure())
    assert "then NaN or infinity" not in legend_names(comparison_figure(results, ORIGIN))


def test_a_sweep_shows_losses_and_a_cross_for_what_diverged(swept):
    loss, accuracy = sweep_figure(curves(swept), ORIGIN).axes
    for curve in curves(swept):
        colour, _ = STYLES[curve.method.name]
        line, crosses = [each for each in loss.lines if each.get_color() == colour][:2]
        assert list(line.get_xdata()) == RATES
        expected = [result.final.train_loss for result in curve.results if not result.diverged]
        assert list(line.get_ydata())[: len(expected)] == expected
        assert list(crosses.get_xdata()) == [1e30]
        line = lines(accuracy)[STYLES[curve.method.name]]
        assert list(line.get_ydata()) == [result.final.test_accuracy for result in curve.results]
    assert "diverged" in [label.get_text() for label in loss.get_yticklabels()]


def test_a_loss_that_diverged_does_not_stretch_the_scale(swept):
    *others, last = swept
    epochs = (last.epochs[0], replace(last.epochs[0], train_loss=1e20))
    found = curves([*others, replace(last, epochs=epochs)])
    assert found[-1].results[-1].diverged
    assert sweep_figure(found, ORIGIN).axes[0].get_ylim()[1] < 1000


def test_a_sweep_with_betas_has_a_panel_for_each_method_that_has_one(swept_with_betas):
    figure = sweep_figure(curves(swept_with_betas), ORIGIN)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["without beta", "Momentum", "RMSProp", "Adam"]
    names = ["batch GD", "stochastic GD", "mini-batch GD", "beta 0.5", "beta 0.9"]
    assert legend_names(figure) == names
    for panel in figure.axes[1:]:
        assert len({line.get_color() for line in panel.lines if line.get_marker() == "o"}) == 2


def test_a_sweep_that_ctrl_c_cut_short_is_no_reason_to_fail(swept):
    assert sweep_figure(curves(swept[:2]), ORIGIN).axes


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_every_format_can_be_written(results, tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    comparison_figure(results, ORIGIN).savefig(path)
    assert path.stat().st_size > 10_000


def test_a_method_that_never_was_finite_can_be_drawn(few_digits):
    results = run_quickly([Trial(METHODS["batch"], lr=1e30)], few_digits)
    comparison_figure(results, ORIGIN).draw_without_rendering()


def test_drawing_needs_no_display_and_leaves_matplotlibs_settings_alone():
    run_script(
        """
        import sys
        from gpuopt.demo import comparison_picture, sweep_picture
        assert "matplotlib" not in sys.modules
        import matplotlib
        from gpuopt.demo.style import SETTINGS, page
        before = {name: matplotlib.rcParams[name] for name in SETTINGS}
        with page("title", "origin") as sheet:
            sheet.figure.draw_without_rendering()
        assert {name: matplotlib.rcParams[name] for name in SETTINGS} == before != SETTINGS
        assert "matplotlib.pyplot" not in sys.modules
        """,
        DISPLAY=None,
        quiet=False,
    )
