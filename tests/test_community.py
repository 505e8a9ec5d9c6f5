"""The files around the code: changelog, citation, templates, and what agrees among them."""

import re
from pathlib import Path

import pytest

from tests.helpers.project import PROJECT
from tests.helpers.schemas import by_schema

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
VERSION = PROJECT["project"]["version"]
HOME = PROJECT["project"]["urls"]["Source"]
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
BY_SCHEMA = (
    ("citation-file-format", ROOT / "CITATION.cff"),
    ("dependabot", GITHUB / "dependabot.yml"),
    ("github-issue-config", GITHUB / "ISSUE_TEMPLATE/config.yml"),
    *(("github-issue-forms", file) for file in FORMS),
)
WRITTEN = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CITATION.cff")


@pytest.mark.parametrize(
    ("schema", "file"), BY_SCHEMA, ids=lambda value: getattr(value, "name", "")
)
def test_a_file_keeps_its_schema(schema, file, tmp_path):
    pytest.importorskip("check_jsonschema")
    done = by_schema(schema, file)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / file.name
    wrong.write_text(f"{file.read_text(encoding='utf-8')}\nunknown_key: 1\n", encoding="utf-8")
    assert by_schema(schema, wrong).returncode == 1


def releases():
    """The versions of the changelog with their dates, the newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    return [
        re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", head).groups()
        for head in heads[1:]
    ]


def test_the_newest_release_of_the_changelog_is_this_version():
    assert releases()[0][0] == VERSION
    assert releases() == sorted(releases(), key=lambda one: one[1], reverse=True)


def test_the_citation_is_of_the_newest_release():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = [
        re.search(rf"^{key}: (.*)$", text, re.MULTILINE)[1] for key in ("version", "date-released")
    ]
    assert tuple(found) == releases()[0]
    assert f"repository-code: {HOME}\n" in text
    assert f"license: {PROJECT['project']['license']}\n" in text


def test_every_release_has_a_link():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[Unreleased]: {HOME}/compare/v{VERSION}...HEAD\n" in text
    for version, _ in releases():
        assert f"[{version}]: {HOME}/releases/tag/v{version}\n" in text


@pytest.mark.parametrize("name", WRITTEN)
def test_every_link_to_the_project_is_to_its_home_and_every_file_is_there(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    addresses = re.findall(r"https://github\.com/[\w/-]+", text)
    assert all(address.startswith(HOME) for address in addresses)
    files = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("https:")]
    assert all((ROOT / file).is_file() for file in files)


def test_a_weakness_is_reported_in_private():
    where = f"{HOME}/security/advisories/new"
    for file in (ROOT / "SECURITY.md", GITHUB / "ISSUE_TEMPLATE/config.yml"):
        assert where in file.read_text(encoding="utf-8")


def test_dependabot_knows_all_that_is_pinned():
    text = (GITHUB / "dependabot.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"package-ecosystem: (.*)$", text, re.MULTILINE)) == {
        "github-actions",
        "pip",
    }
