"""What is generated says what the optimizers do, and is up to date."""

import doctest
import importlib
import json
import re

import numpy as np
import pytest

import gpuopt
from benchmarks import tables
from gpuopt.rules.definitions import DEFINITIONS
from gpuopt.rules.registry import RULES
from gpuopt_docs import costs, descent, optimizers, pictures, stubs
from tests.rules.oracles import TORCHS

OURS = sorted({rule.name for definition in DEFINITIONS.values() for rule in definition.all_rules})


@pytest.mark.parametrize("module", ["optimizers", "stubs", "mathml", "offline", "documented"])
def test_the_examples_of(module):
    try:
        found = importlib.import_module(f"gpuopt_docs.{module}")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert doctest.testmod(found).failed == 0


# --- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "8bit"])
@pytest.mark.parametrize("name", OURS)
def test_the_bytes_that_are_kept_are_those_of_the_states(name, state_dtype):
    param = np.ones((64, 64), np.float32)
    with gpuopt.use_backend("numpy"):
        opt = gpuopt.Optimizer([param], rule=name, state_dtype=state_dtype)
        if "train" in RULES[name].passes:
            opt.train()
        opt.step([param.copy()])
    held = [array for array in opt.state[0].values() if getattr(array, "ndim", 0)]
    measured = sum(array.nbytes for array in held) / param.size
    kept = {(c.param, c.state_dtype): c.kept for c in costs.costs(RULES[name])}
    assert kept["float32", state_dtype] == measured


@pytest.mark.parametrize("name", OURS)
def test_a_step_moves_what_the_rule_says(name):
    moved = {(c.param, c.state_dtype): c.moved for c in costs.costs(RULES[name])}
    if not RULES[name].reads_first:
        assert moved["float32", None] == RULES[name].bytes_per_element()
        assert moved["bfloat16", None] == RULES[name].bytes_per_element(2, 2, 4)
    for param in ("float32", "bfloat16"):
        assert moved[param, "bfloat16"] <= moved[param, None] >= moved[param, "8bit"]
    assert moved["float32", None] > moved["bfloat16", None]


# --- pages ---------------------------------------------------------------------------------------


def test_pages_have_names_of_their_own_where_case_does_not_count():
    names = [stubs.slug(name).lower() for name in DEFINITIONS]
    assert len({*names, "index"}) == len(names) + 1


def test_the_pages_know_what_torch_has():
    assert {name for name in DEFINITIONS if stubs.in_torch(name)} == {*TORCHS}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_page_has_all_that_the_definition_has(name, monkeypatch):
    monkeypatch.setattr(optimizers, "caption", lambda definition: "CAPTION")
    definition, text = DEFINITIONS[name], optimizers.page(DEFINITIONS[name])
    for option in definition.options:
        assert f"| `{option.name}`" in text
    for state in definition.state_names | definition.carried_names:
        assert f"`{state}`" in text
    for year in re.findall(r"\d{4}", definition.source):
        assert year in text
    assert ":math:" not in text
    assert "``" not in text.replace("```", "")
    assert text.count("$$") == 2


@pytest.mark.parametrize("name", DEFINITIONS)
def test_an_equation_is_whole_when_it_is_split(name):
    """Braces are balanced in each line, and nothing but the quads and their commas is gone."""
    text = optimizers.equation(DEFINITIONS[name].equation)
    lines = text.splitlines()[2:-2]
    assert all(line.count("{") == line.count("}") for line in lines)
    ours = re.sub(r"[&\s,]|\\\\$", "", "".join(line.removesuffix(" \\\\") for line in lines))
    theirs = re.sub(r"\\quad|[\s,]", "", DEFINITIONS[name].equation)
    assert ours == theirs


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_optimizer_descends(name):
    with gpuopt.use_backend("numpy"):
        found = descent.best_descent(DEFINITIONS[name])
    assert found.points.shape == (descent.STEPS + 1, 2)
    assert np.isfinite(found.heights).all()
    assert found.mean_height < 0.1 * found.heights[0]


def test_a_picture_is_the_same_each_time_and_has_no_light_colours_on_a_dark_page():
    pytest.importorskip("matplotlib")
    with gpuopt.use_backend("numpy"):
        first, again = (
            pictures.drawn(DEFINITIONS["Adam"], pictures.PARTS["path"]) for _ in range(2)
        )
    assert first == again
    light = [colour for name, colour in pictures.LIGHT.items() if name != "base"]
    assert all(colour in first for colour in light)
    assert not any(colour in pictures.darkened(first) for colour in light)


# --- measured tables -----------------------------------------------------------------------------


def test_the_tables_on_the_pages_are_those_of_the_data():
    """`python -m benchmarks.tables` writes them."""
    for page in tables.pages():
        assert tables.filled(page) == page.read_text(encoding="utf-8"), page.name


def test_every_table_is_on_one_page():
    text = "".join(page.read_text(encoding="utf-8") for page in tables.pages())
    names = re.findall(r"<!-- table: (.*?) -->", text)
    assert sorted(names) == sorted(tables.TABLES)
    assert text.count("<!-- end of table -->") == len(names)


def test_a_number_that_is_changed_by_hand_is_noticed(tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    (tmp_path / "README.md").write_text("no table\n", encoding="utf-8")
    page.write_text("<!-- table: drift -->\n| old |\n<!-- end of table -->\n", encoding="utf-8")
    monkeypatch.setattr(tables, "DOCS", page.parent)
    assert tables.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().out
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    assert "| old |" not in page.read_text(encoding="utf-8")


def test_all_data_are_json():
    for file in tables.DATA.rglob("*.json"):
        assert json.loads(file.read_text(encoding="utf-8"))
