"""The mutants fit the sources, and their runner tells those that tests notice from the others."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.__main__ import main
from tests.mutants.mutant import Mutant
from tests.mutants.parts import PARTS
from tests.mutants.runner import INVALID, KILLED, SURVIVED, Run, judged, run_all

ROOT = Path(__file__).parents[1]
MUTANTS = [
    pytest.param(mutant, id=f"{part}: {mutant.fault}")
    for part, mutants in PARTS.items()
    for mutant in mutants
]
FOLDERS = (
    "rules",
    "arrays",
    "engine",
    "optimizers",
    "torch",
    "inspection",
    "demo",
    "verify",
    "system",
)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_fits_its_file(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.new != mutant.old
    mutated = mutant.applied(text)
    if mutant.file.endswith(".py"):
        compile(mutated, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_tests_of_a_mutant_are_there(mutant):
    named = [word.split("::") for word in mutant.arguments if word.startswith("tests/")]
    assert named
    for path, *names in named:
        assert (ROOT / path).exists(), path
        for name in names:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), name


def test_every_part_has_mutants():
    assert len(MUTANTS) >= 60
    assert min(map(len, PARTS.values())) >= 3
    files = {mutant.file for mutants in PARTS.values() for mutant in mutants}
    folders = {f"gpuopt/{name}" for name in FOLDERS}
    folders |= {f"kernels/{name}" for name in ("numpy", "llvm", "triton", "cuda", "trace")}
    assert {str(Path(file).parent) for file in files} >= folders | {"benchmarks"}


def test_no_two_mutants_are_the_same():
    for part, mutants in PARTS.items():
        assert Counter(mutant.fault for mutant in mutants).most_common(1)[0][1] == 1, part
    edits = [(m.file, m.old, m.new) for mutants in PARTS.values() for m in mutants]
    assert len(set(edits)) == len(edits)


# --- the runner -----------------------------------------------------------------------------------

DOUBLE = '''"""Twice."""


def double(x):
    return 2 * x
'''
TESTS = """from double import double


def test_of_zero():
    assert double(0) == 0


def test_of_three():
    assert double(3) == 6


def test_that_fails():
    assert double(3) == 5
"""
PASSING = "test_double.py -k 'of_zero or of_three'"
EXPECTED = {
    Mutant("three times", "double.py", "2 * x", "3 * x", PASSING): KILLED,
    Mutant("three times, of zero", "double.py", "2 * x", "3 * x", "test_double.py -k of_zero"): (
        SURVIVED
    ),
    Mutant("no number", "double.py", "2 * x", "2 *", PASSING): INVALID,
    Mutant("nothing to replace", "double.py", "4 * x", "3 * x", PASSING): INVALID,
    Mutant("fails anyway", "double.py", "2 * x", "3 * x", "test_double.py -k fails"): INVALID,
}


@pytest.fixture
def project(tmp_path):
    """A checkout of two files, of one of which git knows an older version."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "double.py").write_text("")
    (tmp_path / "test_double.py").write_text(TESTS)
    for command in ("init --quiet", "add ."):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    (tmp_path / "double.py").write_text(DOUBLE)
    return tmp_path


def test_what_tests_notice_is_killed_and_what_they_do_not_survives(project):
    reported = []
    outcomes = run_all(list(EXPECTED), project, 2, reported.append)
    assert {o.mutant: o.verdict for o in outcomes} == EXPECTED
    assert reported == outcomes
    reasons = {o.mutant.fault: o.reason for o in outcomes if o.reason}
    assert set(reasons) == {"no number", "nothing to replace", "fails anyway"}
    assert "do not pass: 1 failed" in reasons["fails anyway"]
    assert (project / "double.py").read_text() == DOUBLE
    assert not list(project.rglob("__pycache__"))


def test_a_mutant_does_not_meet_the_one_before(project):
    first, *_ = EXPECTED
    fine = Mutant("as it is", "double.py", "2 * x", "x * 2", PASSING)
    verdicts = [o.verdict for o in run_all([first, fine, first], project)]
    assert Counter(verdicts) == {KILLED: 2, SURVIVED: 1}


@pytest.mark.parametrize(
    ("code", "output", "hangs", "verdict"),
    [
        (0, "2 passed", False, SURVIVED),
        (1, "1 failed", False, KILLED),
        (1, "ERROR collecting test_double.py", False, INVALID),
        (2, "interrupted", False, INVALID),
        (4, "no such file", False, INVALID),
        (-11, "", False, INVALID),
        (None, "", False, INVALID),
        (None, "", True, KILLED),
    ],
)
def test_a_verdict(code, output, hangs, verdict):
    assert judged(Run(code, output, 1.0), hangs)[0] == verdict


def test_words_choose_mutants(capsys):
    assert main(["--list", "kernels/llvm/walk.py", "AMSGrad"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "rules: AMSGrad keeps the smallest v" in lines
    assert {line.partition(":")[0] for line in lines} == {"rules", "llvm"}


def test_words_that_no_mutant_has_are_refused(capsys):
    with pytest.raises(SystemExit) as left:
        main(["no such mutant"])
    assert left.value.code == 2
