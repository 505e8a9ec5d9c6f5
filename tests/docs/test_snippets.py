"""Every example on the pages runs as it stands there: those written by hand, those generated."""

from pathlib import Path
from unittest import mock

import pytest

import gpuopt
from gpuopt.rules.definitions import DEFINITIONS
from tests.docs.snippets import RUN, blocks, run_all

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted({*DOCS.glob("*.md")} - {DOCS / "switching.md"})
"""All but the one whose examples tests/drop_in/test_switching.py runs, within frameworks."""


@pytest.fixture(autouse=True)
def as_before(tmp_path, monkeypatch):
    """Pages write files, register rules and formats, and begin process groups."""
    monkeypatch.chdir(tmp_path)
    registries = (gpuopt.RULES, gpuopt.FORMATS)
    before = [dict(registry) for registry in registries]
    yield
    for registry, own in zip(registries, before, strict=True):
        for name in registry.keys() - own.keys():
            del registry[name]


@pytest.fixture
def no_process_group():
    distributed = pytest.importorskip("torch.distributed")
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def text_of(page):
    return page.read_text(encoding="utf-8")


@pytest.mark.filterwarnings(r"ignore:`torch.jit.\w+` is deprecated")  # torch.distributed.optim
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page, request):
    text = text_of(page)
    if any("torch" in code for language, code in blocks(text) if language == RUN):
        request.getfixturevalue("no_process_group")
    run_all(text, page.name)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_examples_of_a_generated_page_run(name):
    pytest.importorskip("torch")
    from gpuopt_docs import optimizers

    with mock.patch.object(optimizers, "caption", return_value=""):
        assert run_all(optimizers.page(DEFINITIONS[name]), name) == 2


def test_most_pages_have_examples():
    ran = [page.stem for page in PAGES if any(kind == RUN for kind, _ in blocks(text_of(page)))]
    assert {"quickstart", "torch", "tail", "checkpoints", "distributed", "formats"} <= {*ran}


def test_a_broken_example_is_noticed():
    with pytest.raises(NameError):
        run_all("```python\nmissing\n```\n", "page")
    with pytest.raises(AssertionError, match="Expected"):
        run_all("```python\n>>> 1 + 1\n3\n```\n", "page")
    with pytest.raises(AssertionError, match="pyhton"):
        run_all("```pyhton\nmissing\n```\n", "page")
    with pytest.raises(SyntaxError):
        run_all("```py\n1 +\n```\n", "page")
