"""What is published: the wheel and the sdist, their metadata, and the page that an index shows."""

import doctest
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import gpuopt
from tests.helpers.project import GROUPS, PROJECT

ROOT = Path(__file__).parents[1]
SETUP = runpy.run_path(str(ROOT / "setup.py"))
LINK = re.compile(r"\]\(([^)#]+)")
PICTURE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
NO_ADDRESS = "AuthorEmail"
"""What pyroma asks for and the project does not have."""


def run_module(*command, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """An sdist built from a copy of the sources, as `python -m build` builds it."""
    pytest.importorskip("build.env", reason="needs build")
    copy, target = tmp_path_factory.mktemp("copy") / "gpuopt", tmp_path_factory.mktemp("sdist")
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "*cache*")
    shutil.copytree(ROOT, copy, ignore=lambda folder, names: hidden(folder, names, ignored))
    run_module("build", "--sdist", "--no-isolation", "--outdir", target, cwd=copy)
    (file,) = target.glob("*.tar.gz")
    return file


def hidden(folder, names, ignored):
    """Names that patterns ignore, but no file of the project, like gpuopt/inspection/cache.py."""
    return {name for name in ignored(folder, names) if not name.endswith((".py", ".json"))}


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def page(metadata):
    """The long description."""
    return metadata.get_payload(decode=True).decode()


def test_the_sdist_holds_every_file_of_the_repository(unpacked):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = {name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()}
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    assert files - found == set()


def test_the_sdist_has_what_its_readme_links_to(unpacked):
    text = (unpacked / "README.md").read_text(encoding="utf-8")
    files = [link for link in LINK.findall(text) if not link.startswith("http")]
    assert PICTURE.search(text)
    assert [file for file in files if not (unpacked / file).is_file()] == []


def test_the_pictures_of_the_page_are_files_of_the_release(page):
    here = (ROOT / "README.md").read_text(encoding="utf-8")
    release = f"{SETUP['PICTURES']}/v{gpuopt.__version__}/"
    assert PICTURE.findall(page) == [release + picture for picture in PICTURE.findall(here)]


def test_the_page_has_no_relative_links(page):
    links = LINK.findall(page)
    assert [link for link in links if not link.startswith("https://")] == []
    assert f"{SETUP['HOME']}/blob/v{gpuopt.__version__}/CONTRIBUTING.md" in links


def test_the_links_are_made_as_the_docstring_says():
    example = doctest.DocTestFinder().find(SETUP["absolute"], globs=dict(SETUP))[0]
    assert doctest.DocTestRunner().run(example) == (0, 1)


def test_the_metadata_have_what_users_install_and_not_what_developers_do(metadata):
    extras = set(metadata.get_all("Provides-Extra"))
    assert extras == {"cpu", "demo", "torch", "triton", "cupy12", "cupy13", "inspect"}
    assert not extras & set(GROUPS)
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_addresses_of_the_project_are_those_of_its_home(metadata):
    urls = dict(text.split(", ") for text in metadata.get_all("Project-URL"))
    assert set(urls) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert all(url.startswith(SETUP["HOME"]) for url in urls.values())
    assert urls == PROJECT["project"]["urls"]


def test_every_classifier_is_known(metadata):
    known = pytest.importorskip("trove_classifiers").classifiers
    assert set(metadata.get_all("Classifier")) <= known


def test_an_index_would_take_both(wheel, sdist):
    pytest.importorskip("twine")
    run_module("twine", "check", "--strict", wheel, sdist)


def test_pyroma_finds_nothing_missing(unpacked):
    pytest.importorskip("pyroma")
    shown = run_module("pyroma", "--min", "10", "--skip-tests", NO_ADDRESS, unpacked)
    assert "Final rating: 10/10" in shown


def test_pyroma_finds_what_is_missing(unpacked, tmp_path):
    pytest.importorskip("pyroma")
    poor = shutil.copytree(unpacked, tmp_path / "poor")
    project = (poor / "pyproject.toml").read_text(encoding="utf-8")
    without = re.sub(r"\nclassifiers = \[.*?^\]$", "", project, flags=re.DOTALL | re.MULTILINE)
    (poor / "pyproject.toml").write_text(without, encoding="utf-8")
    with pytest.raises(AssertionError, match="classifier"):
        run_module("pyroma", "--min", "10", "--skip-tests", NO_ADDRESS, poor)
