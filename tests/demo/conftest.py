"""The digits once for all tests, and the command line as a function."""

from types import SimpleNamespace

import pytest

import gpuopt
from gpuopt.cli import application
from gpuopt.demo import data
from gpuopt.demo.comparison import Trial
from gpuopt.demo.data import Digits, Split
from gpuopt.demo.methods import DEFAULT
from tests.demo.quickly import run_quickly
from tests.helpers.backends import REFERENCE


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No test inherits a backend, a width or a wish for colours; nothing is compiled unasked."""
    for name in ("GPUOPT_BACKEND", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    with gpuopt.use_backend(REFERENCE):
        yield


@pytest.fixture(scope="session")
def digits():
    """All the digits."""
    return data.load()


@pytest.fixture(scope="session")
def few_digits(digits):
    """Enough to train on in no time."""

    def first(split, count):
        return Split(split.images[:count], split.labels[:count])

    return Digits(first(digits.train, 100), first(digits.test, 50))


@pytest.fixture(scope="session")
def results(few_digits):
    """One result for each of the default methods."""
    return run_quickly([Trial(method) for method in DEFAULT], few_digits, epochs=4)


@pytest.fixture
def command(capsys, tmp_path, monkeypatch, few_digits):
    """Run the command line on few digits in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load", lambda: few_digits)

    def run_command(*arguments):
        with pytest.raises(SystemExit) as exit_:
            application()(arguments, prog_name="gpuopt")
        said = capsys.readouterr()
        return SimpleNamespace(code=exit_.value.code or 0, out=said.out, err=said.err)

    return run_command
