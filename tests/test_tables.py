"""Tables of the commands: in pipes plain and whole, on terminals in colour and as wide as these."""

import os
import re
import subprocess
import sys

import pytest

from gpuopt.messages.tables import Table, show

HEADS = ("what", "value", "why it is so")
ROWS = [
    ("llvm", "usable", "for arrays on cpu " * 6),
    ("cupy", "no", "pip install 'cupy-cuda13x[ctk]', or 'gpuopt[cupy13]'"),
]
WORDS = {word for row in ROWS for cell in row for word in cell.split()}


@pytest.fixture
def wide_as(capsys, monkeypatch):
    """What a terminal of some columns shows."""
    pytest.importorskip("rich")

    def shown(columns, table, hint="", **environment):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        for name, value in {"COLUMNS": str(columns), "TERM": "xterm", **environment}.items():
            monkeypatch.setenv(name, value)
        show(table, hint)
        return capsys.readouterr().out

    monkeypatch.delenv("NO_COLOR", raising=False)
    return shown


def test_a_pipe_gets_every_cell_on_one_line_without_colours(capsys, monkeypatch):
    for name, value in (("COLUMNS", "40"), ("FORCE_COLOR", "1"), ("TTY_COMPATIBLE", "1")):
        monkeypatch.setenv(name, value)
    show(Table("Backends", HEADS, ROWS, styles={"no": "red"}))
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "Backends"
    assert [re.split(r"  +", line.strip()) for line in lines] == [
        [cell.strip() for cell in row] for row in (HEADS, *ROWS)
    ]


def test_a_pipe_gets_the_same_without_rich(capsys, monkeypatch):
    table = Table("Backends", HEADS, ROWS, right=True)
    show(table)
    with_rich = capsys.readouterr().out
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rich", None)
    show(table)
    assert capsys.readouterr().out == with_rich
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(table)
    assert capsys.readouterr().out == with_rich


def test_a_terminal_gets_colours_and_cells_that_are_no_markup(wide_as):
    out = wide_as(200, Table("Backends", HEADS, ROWS, styles={"no": "red"}))
    assert "\x1b[31mno" in out
    assert "'cupy-cuda13x[ctk]'" in out and "'gpuopt[cupy13]'" in out


@pytest.mark.parametrize("columns", [50, 80])
def test_what_wraps_on_a_terminal_loses_no_word(wide_as, columns):
    table = Table("Backends", HEADS, ROWS, header=False, wraps=HEADS[1:])
    out = wide_as(columns, table, NO_COLOR="1")
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert set(out.split()) >= WORDS
    assert max(map(len, out.splitlines())) <= columns


def test_what_a_terminal_has_no_room_for_is_named(wide_as):
    table = Table("Backends", HEADS, ROWS, right=True, drops=("value",))
    out = wide_as(60, table, "--json has all of it.", NO_COLOR="1")
    assert "No room for: value, why it is so. --json has all of it." in " ".join(out.split())
    assert "usable" not in out and "…" not in out


def test_doctor_in_a_pipe_has_neither_colours_nor_cut_lines():
    variables = {"COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm"}
    shown = subprocess.run(
        [sys.executable, "-m", "gpuopt", "doctor"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "\x1b" not in shown and "…" not in shown
    assert max(map(len, shown.splitlines())) > 80
