"""`gpuopt run`: a script as Python runs it, in which torch.optim's classes make drop-ins."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path):
    """Writes a script with a module beside it; returns the path."""

    def write(code):
        (tmp_path / "beside.py").write_text("here = True\n", encoding="utf-8")
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return path

    return write


def call(*command, cwd, **environment):
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "GPUOPT_BACKEND": "numpy", **environment}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


WHO = """
import sys, __main__
import torch
from torch.optim import AdamW
import beside

if __name__ == "__main__":
    optimizer = AdamW([torch.ones(2, requires_grad=True)])
    print(type(optimizer).__module__, sys.argv[1:], __main__.__dict__ is globals())
"""


@pytest.mark.parametrize("by_name", [False, True], ids=["script", "module"])
def test_a_script_is_main_with_its_arguments(script, tmp_path, by_name):
    path = script(WHO)
    target = ["-m", "train"] if by_name else [path]
    done = call("-m", "gpuopt", "run", *target, "--lr", "1", "-m", "-h", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "gpuopt.torch.classes ['--lr', '1', '-m', '-h'] True\n"
    assert done.stderr.count("make drop-ins") == 1


def test_what_python_gives_a_script(script, tmp_path):
    script(
        """
        import sys
        import pickle
        print(__name__, __file__, sys.argv, sys.path[0] == {folder!r}, __package__, __spec__)

        class Own:
            pass

        assert type(pickle.loads(pickle.dumps(Own()))) is Own
        """.replace("{folder!r}", repr(str(tmp_path)))
    )
    (expected, found) = (
        call(*command, "train.py", "x", cwd=tmp_path) for command in ([], ["-m", "gpuopt", "run"])
    )
    assert expected.returncode == found.returncode == 0, found.stderr
    assert found.stdout == expected.stdout


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit('no data')", 1, "no data"),
        ("import not_here", 1, "ModuleNotFoundError: No module named 'not_here'"),
        ("1 / 0", 1, 'train.py", line 3, in <module>'),
        ("import atexit; atexit.register(lambda: print(Own))\nclass Own: pass", 0, ""),
    ],
)
def test_exit_codes_and_tracebacks_are_the_scripts(script, tmp_path, ending, code, said):
    path = script(f"import sys\n\n{ending}\n")
    done = call("-m", "gpuopt", "run", path, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "gpuopt command needs" not in done.stderr


def test_what_cannot_be_run_is_refused(tmp_path):
    missing = call("-m", "gpuopt", "run", "nowhere.py", cwd=tmp_path)
    assert missing.returncode == 2
    assert "script: expected a file, got 'nowhere.py'" in missing.stderr
    none = call("-m", "gpuopt", "run", cwd=tmp_path)
    assert none.returncode == 2
    assert "script" in none.stderr


def test_help_names_the_command(tmp_path):
    pytest.importorskip("typer")
    assert "run " in call("-m", "gpuopt", "--help", cwd=tmp_path).stdout
    said = call("-m", "gpuopt", "run", "-h", cwd=tmp_path).stdout
    assert "torchrun -m gpuopt run" in " ".join(said.split())


def test_under_torchrun(script, tmp_path):
    path = script(
        """
        import os
        import torch
        optimizer = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1)
        with open(f"rank{os.environ['RANK']}", "w") as file:
            file.write(type(optimizer).__module__)
        """
    )
    run = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0")
    done = call(*run, "-m", "gpuopt", "run", path, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert (tmp_path / f"rank{rank}").read_text() == "gpuopt.torch.classes"
    assert done.stderr.count("make drop-ins") == 1
