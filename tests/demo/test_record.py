import json
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from gpuopt.demo import record
from gpuopt.demo.comparison import Settings, Trial, run
from gpuopt.demo.methods import METHODS


@pytest.fixture
def saved(results, few_digits, tmp_path):
    """What a reader of the file finds."""
    path = tmp_path / "numbers.json"
    record.save(path, record.record(results, Settings(epochs=4), few_digits))
    return json.loads(path.read_text())


def without_times(content):
    if isinstance(content, dict):
        return {k: without_times(v) for k, v in content.items() if "seconds" not in k}
    return [without_times(item) for item in content] if isinstance(content, list) else content


def test_everything_about_a_run_is_there(saved, results, few_digits):
    assert saved["settings"]["seed"] == 0
    assert saved["settings"]["layers"] == [64, 64, 32, 10]
    assert saved["images"] == {"train": len(few_digits.train), "test": len(few_digits.test)}
    assert saved["versions"]["numpy"] == np.__version__
    for found, result in zip(saved["results"], results, strict=True):
        assert found["method"] == result.trial.method.name
        assert found["lr"] == result.trial.method.lr
        assert found["backend"] == "numpy"
        assert found["median_step_seconds"] == result.clock.median > 0
        assert found["final"]["test_accuracy"] == result.final.test_accuracy
        assert found["history"]["number"] == [0, 1, 2, 3, 4]
        assert found["history"]["train_loss"] == [epoch.train_loss for epoch in result.epochs]
        norms = [list(epoch.gradient_norms) for epoch in result.epochs]
        assert found["history"]["gradient_norms"] == norms


def test_only_times_differ_between_two_runs(results, few_digits):
    settings = Settings(epochs=4)
    again = [run(result.trial, few_digits, settings) for result in results]
    first, second = (record.record(r, settings, few_digits) for r in (results, again))
    for content in (first, second):
        for found in content["results"]:
            found["backend"] = "any"
    assert first != second
    assert without_times(first) == without_times(second)


def test_what_was_noticed_is_there(few_digits):
    result = run(Trial(METHODS["batch"], lr=1e30), few_digits, Settings(epochs=3))
    found = record.result_record(result)["findings"]
    assert [(f["kind"], f["epoch"], f["layers"]) for f in found] == [("NaN", 1, (1, 2, 3))]


def test_what_json_has_no_number_for_becomes_null(results, few_digits, tmp_path):
    last = replace(results[0].final, train_loss=nan, gradient_norms=(1.0, inf, -inf))
    content = record.record([replace(results[0], epochs=(last,))], Settings(), few_digits)
    record.save(tmp_path / "nan.json", content)

    def refuse(constant):
        raise AssertionError(f"not JSON: {constant}")

    text = (tmp_path / "nan.json").read_text()
    found = json.loads(text, parse_constant=refuse)["results"][0]
    assert found["final"]["train_loss"] is None
    assert found["history"]["gradient_norms"] == [[1.0, None, None]]
    assert found["diverged"] is True
