"""Which optimizer: the search over learning rates, what was found, its table and its picture."""

from itertools import combinations
from math import inf, log10

import pytest

from benchmarks import tables
from benchmarks.contest import bytes_of
from benchmarks.quality import which
from benchmarks.quality.families import MEMBERS, ORDER, family_of
from benchmarks.quality.grid import MOST, explored, index_of, rate_of
from benchmarks.quality.methods import STORAGES, Method
from benchmarks.quality.paths import LOWEST_AT, START, best_descent, height
from benchmarks.quality.results import TOLERANCE, Results, read
from benchmarks.quality.tasks import TASKS
from benchmarks.quality.training import trained
from benchmarks.quality.which_table import rows, short
from gpuopt.demo.methods import TUNED
from gpuopt.rules.definitions import DEFINITIONS

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads of torch that wait for each other spin: on a busy machine, for minutes."""
    before = torch.get_num_threads()
    monkeypatch.setenv("GPUOPT_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- the grid -------------------------------------------------------------------------------------


def test_rates_are_one_and_three_times_the_powers_of_ten():
    assert [rate_of(i) for i in range(-3, 3)] == [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
    assert all(index_of(rate_of(i)) == i for i in range(-20, 20))
    assert [rate_of(index_of(rate)) for rate in (0.0025, 0.0004, 0.999)] == [0.001, 0.0003, 0.3]


def bowl(rate):
    """The loss is lowest at 0.1 and 1.0 higher for each decade."""
    return abs(log10(rate) + 1)


def test_the_rates_move_until_the_best_is_inside():
    found = explored(bowl, 100.0, lambda rate, above: False)
    assert [*found] == [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0]
    assert found == {rate: bowl(rate) for rate in found}


def test_the_rates_go_on_on_both_sides_while_they_are_of_use():
    found = explored(bowl, 0.1, lambda rate, above: above < 1.9)
    assert (min(found), max(found)) == (0.001, 10.0)
    found = explored(bowl, 0.1, lambda rate, above: rate > 0.005)
    assert min(found) == 0.003
    assert len(found) == MOST


def test_where_all_diverge_smaller_rates_are_tried_but_not_for_ever():
    found = explored(lambda rate: inf if rate > 1e-3 else rate, 0.1, lambda rate, above: False)
    assert (min(found), max(found)) == (1e-5, 1.0)
    found = explored(lambda rate: inf, 0.1, lambda rate, above: False)
    assert (min(found), max(found)) == (1e-5, 1.0)


def test_a_rate_that_does_not_matter_ends_the_search():
    found = explored(lambda rate: 1.0, 1e-4, lambda rate, above: True)
    assert len(found) == MOST
    assert min(found) == 1e-5


# --- families -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "names"),
    {
        "SGD, momentum": ["SGD", "Momentum", "ASGD"],
        "squares alone": ["RMSProp", "Adagrad", "Adadelta"],
        "signs, clipped": ["Lion", "Rprop", "SophiaG"],
        "Adam in torch.optim": ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"],
        "Adam, changed": ["Adan", "AdEMAMix", "ADOPT", "CAdamW", "LaProp", "MARS", "StableAdamW"],
        "scaled by norms": ["LAMB", "LARS"],
        "schedule-free": ["SGDScheduleFree", "AdamWScheduleFree", "RAdamScheduleFree"],
    }.items(),
)
def test_families_are_told_apart(family, names):
    assert [family_of(DEFINITIONS[name]).name for name in names] == [family] * len(names)


def test_members_are_all_optimizers_once_and_some_with_an_option():
    plain = {d.rule_for(d.defaults).name for d in DEFINITIONS.values()}
    definitions = [method.definition for method in MEMBERS.values() if not method.options]
    assert sorted(d.rule_for(d.defaults).name for d in definitions) == sorted(plain)
    options = [name for name, method in MEMBERS.items() if method.options]
    assert options == ["Nesterov", "AMSGrad", "AdamW, cautious"]
    order = [ORDER.index(family_of(method.definition)) for method in MEMBERS.values()]
    assert order == sorted(order)


def test_an_example_of_each_family_that_is_there_is_one_of_its_members():
    for family in ORDER:
        if family.example in DEFINITIONS:
            assert family_of(DEFINITIONS[family.example]) is family


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEMBERS)
def test_every_optimizer_learns_something(name):
    demo = MEMBERS[name]
    own = Method(name, demo.optimizer, {**demo.options, "lr": demo.lr})
    losses = [trained(TASKS["mlp"], own, STORAGES["float32"], 0, n) for n in (1, 60)]
    assert losses[1] < losses[0]


def test_what_averages_is_judged_by_the_averages(monkeypatch):
    own = Method("free", "AdamWScheduleFree", {"lr": 0.01})
    average = trained(TASKS["mlp"], own, STORAGES["float32"], 0, 40)
    half = trained(TASKS["mlp"], own, STORAGES["Kahan"], 0, 40)
    assert half == pytest.approx(average, rel=0.02)
    monkeypatch.setattr("gpuopt.demo.modes.evaluate", lambda optimizer: None)
    last = trained(TASKS["mlp"], own, STORAGES["float32"], 0, 40)
    assert abs(last - average) > 0.05 * average


def test_sophia_gets_hessians_with_the_size_of_the_batch(monkeypatch):
    from gpuopt.torch import SophiaG

    asked = []
    for name in ("step", "update_hessian"):
        method = getattr(SophiaG, name)

        def noted(self, *arguments, name=name, method=method):
            grads = [p.grad.clone() for p in self.param_groups[0]["params"]]
            asked.append((name, self.param_groups[0]["bs"], grads))
            return method(self, *arguments)

        monkeypatch.setattr(SophiaG, name, noted)
    own = Method("sophia", "SophiaG", {"lr": 1e-3})
    trained(TASKS["transformer"], own, STORAGES["float32"], 0, 12)
    names = [name for name, *_ in asked]
    assert names == ["update_hessian", *["step"] * 10, "update_hessian", "step", "step"]
    assert {bs for _, bs, _ in asked} == {8 * 32}
    assert not torch.equal(asked[0][2][0], asked[1][2][0])


# --- paths ----------------------------------------------------------------------------------------


def test_a_path_goes_down_the_bowl_and_is_the_same_again():
    assert height(*LOWEST_AT) == 0
    found = best_descent(DEFINITIONS["RMSProp"])
    assert tuple(found.points[0]) == START
    assert found.mean_height < 0.1 * height(*START)
    assert (best_descent(DEFINITIONS["RMSProp"]).points == found.points).all()


def test_the_paths_are_those_of_the_file():
    """Of two that take little time; all others are made by the same function."""
    for path in read(which.FILE).paths:
        if path["name"] in ("RMSProp", "Momentum"):
            found = best_descent(DEFINITIONS[path["name"]])
            assert path["lr"] == found.lr
            assert path["x"] == [round(float(x), 3) for x in found.points[:, 0]]
            assert path["y"] == [round(float(y), 3) for y in found.points[:, 1]]


# --- what was found -------------------------------------------------------------------------------


def line(name, digits, transformer):
    """A line of the file; a loss and an accuracy for each rate."""
    return {
        "name": name,
        "optimizer": name,
        "options": {},
        "digits": {
            rate: {"losses": [loss, loss], "accuracies": [accuracy, accuracy]}
            for rate, (loss, accuracy) in digits.items()
        },
        "transformer": transformer,
        "seconds": 1,
    }


@pytest.fixture
def results():
    adam = line(
        "Adam",
        {"0.001": (0.3, 0.96), "0.003": (0.2, 0.9), "0.01": (0.1, 0.97), "0.03": (0.2, 0.95)},
        {"0.001": 2.05, "0.003": 2.0, "0.01": 2.2, "0.03": 2.1 - 1e-9},
    )
    sgd = line("SGD", {"0.1": (0.5, 0.9), "0.3": (None, None)}, {"0.1": None, "0.3": None})
    return Results({"epochs": 1, "seeds": 2, "steps": 3}, [], [sgd, adam])


def test_the_best_rate_and_those_of_use_around_it(results):
    assert results.families() == {"SGD, momentum": ["SGD"], "Adam in torch.optim": ["Adam"]}
    assert results.best("Adam", "digits") == (0.01, 0.1)
    assert results.useful("Adam", "digits") == [0.01, 0.03]  # 0.001 lies behind a gap
    assert results.best("Adam", "transformer") == (0.003, 2.0)
    assert results.useful("Adam", "transformer") == [0.001, 0.003]
    assert TOLERANCE == 0.1
    assert results.best("SGD", "transformer") is None
    assert results.useful("SGD", "transformer") == results.useful("SGD", "digits") == []
    assert results.rates("digits") == [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    assert results.lowest("transformer") == 2.0


def test_one_seed_that_diverged_is_a_rate_that_diverged(results):
    results.optimizers[1]["digits"]["0.01"]["losses"][0] = None
    assert results.losses("Adam", "digits")[0.01] is None


def test_a_file_is_read_as_it_was_written(results, tmp_path):
    results.write(tmp_path / "which.json")
    assert read(tmp_path / "which.json") == results


def test_the_table_has_bytes_of_the_definitions_and_what_was_found(results):
    sgd, adam = rows(results)
    assert sgd == (
        *("SGD, momentum", "SGD", "Robbins and Monro, 1951; Sutskever et al., 2013", "0", "12"),
        *("0.5", "0.1", "none", "diverged", "-", "none"),
    )
    assert adam[3:] == (
        *("8", "28", "0.1", "0.01", "0.01 to 0.03"),
        *("2.00", "0.003", "0.001 to 0.003"),
    )


def test_the_bytes_of_all_passes_and_of_options():
    found = {row[1]: row[3:5] for row in rows(read(which.FILE))}
    assert found["AMSGrad"] == ("12", "36")
    assert found["LAMB"] == ("8", f"{bytes_of('lamb', 'float32', {}):g}") == ("8", "44")
    assert found["SophiaG"] == ("8", "24")


def test_titles_are_left_out_of_sources():
    assert short('You et al., "Large Batch, and so on", 2020') == "You et al., 2020"
    assert short("Dozat, 2016") == "Dozat, 2016"


# --- the command ----------------------------------------------------------------------------------


def test_the_command_adds_a_line_for_each_optimizer(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(which, "_paths", lambda known: [])
    file = tmp_path / "which.json"
    few = ["--epochs", "1", "--seeds", "1", "--steps", "2", "--json", str(file)]
    assert which.main(["--optimizers", "AdamWScheduleFree", *few]) == 0
    assert which.main(["--optimizers", "AdamW", "AdamWScheduleFree", *few]) == 0
    found = read(file)
    assert found.settings == {"epochs": 1, "seeds": 1, "steps": 2}
    assert [one["name"] for one in found.optimizers] == ["AdamW", "AdamWScheduleFree"]
    for name in ("AdamW", "AdamWScheduleFree"):
        assert {len(found.losses(name, task)) >= 5 for task in ("digits", "transformer")} == {True}
        best, _ = found.best(name, "digits")
        assert best in found.losses(name, "transformer")
    assert "AdamW: lr 0.0" in capsys.readouterr().out
    few[1] = "2"
    assert which.main(["--optimizers", "AdamW", *few]) == 0
    assert [one["name"] for one in read(file).optimizers] == ["AdamW"]


def test_the_page_has_the_table_of_the_file():
    page = (tables.DOCS / "which_optimizer.md").read_text(encoding="utf-8")
    assert page.count(tables.TABLES["which"]()) == 1


def test_rendering_writes_the_picture_beside_the_file(results, tmp_path):
    pytest.importorskip("matplotlib")
    results.write(tmp_path / "new.json")
    assert which.main(["--render", "--json", str(tmp_path / "new.json")]) == 0
    assert (tmp_path / "new.png").stat().st_size > 10_000


def test_the_file_has_what_the_page_says_of_it():
    found = read(which.FILE)
    assert found.settings == {"epochs": which.EPOCHS, "seeds": which.SEEDS, "steps": which.STEPS}
    for one in found.optimizers:
        method = MEMBERS[one["name"]]
        assert (one["optimizer"], one["options"]) == (method.optimizer, dict(method.options))
        assert {len(own["losses"]) for own in one["digits"].values()} == {which.SEEDS}


def test_the_demos_rates_are_the_best_of_the_file():
    found = read(which.FILE)
    for one in found.optimizers:
        best = found.best(one["name"], "digits")
        if one["name"] in TUNED:
            assert best is not None and TUNED[one["name"]] == best[0]


# --- the picture ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def figure():
    pytest.importorskip("matplotlib")
    from benchmarks.quality.which_picture import which_figure

    return which_figure(read(which.FILE))


def test_each_family_has_a_path_and_the_rows_of_its_members(figure):
    families = read(which.FILE).families()
    panels = [panel for panel in figure.axes if panel.collections and panel.yaxis.get_visible()]
    titled = {panel.get_title(loc="left"): panel for panel in panels}
    assert families.keys() <= titled.keys()
    named = [
        [label.get_text() for label in panel.get_yticklabels() if label.get_text()]
        for panel in figure.axes
    ]
    assert [names for names in named if names and names[0] in MEMBERS] == [*families.values()]


def test_every_text_of_the_picture_is_legible(figure, monkeypatch):
    import matplotlib as mpl

    boxes = {}
    draw = mpl.text.Text.draw

    def note(text, renderer):
        if text.get_visible() and text.get_text().strip():
            boxes[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(mpl.text.Text, "draw", note)
    figure.draw_without_rendering()
    assert len(boxes) > 60
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
    for (text, box), (other, place) in combinations(boxes.items(), 2):
        assert not box.overlaps(place), (text, other)
