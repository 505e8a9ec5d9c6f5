"""A save that does not come to its end leaves the old file as it was, and none beside it."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gpuopt
from gpuopt.system import files
from tests.helpers.files import BELOW_A_FILE
from tests.helpers.optimizers import arrays, everything, gradients

pytest.importorskip("safetensors")

POSIX = os.name == "posix"


@pytest.fixture
def saved(tmp_path):
    """An optimizer that has been saved, and has moved on since."""
    params = arrays(0)
    optimizer = gpuopt.Adam(params)
    optimizer.step(gradients(0))
    path = tmp_path / "state"
    optimizer.save(path)
    optimizer.step(gradients(1))
    return optimizer, params, path


def assert_usable(optimizer, params, path):
    """A later save works, and is read back."""
    optimizer.save(path)
    loaded_params = arrays(0)
    loaded = gpuopt.Adam(loaded_params)
    loaded.load(path)
    assert everything(loaded, [])[1:] == everything(optimizer, [])[1:]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        KeyboardInterrupt(),
        MemoryError(),
        SystemExit(1),
        RuntimeError("something else"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("written", [0, 1, 100, None])
def test_an_error_while_writing(saved, monkeypatch, error, written):
    optimizer, params, path = saved
    before, content = everything(optimizer, params), path.read_bytes()
    write_all = files.write_all

    def interrupted(file, content):
        write_all(file, content)
        if written is None and file.tell() < len(path.read_bytes()):
            return
        os.truncate(file.name, file.tell() if written is None else written)
        raise error

    monkeypatch.setattr(files, "write_all", interrupted)
    with pytest.raises(type(error)) as caught:
        optimizer.save(path)
    if isinstance(error, OSError):
        assert (caught.value.errno, caught.value.filename) == (error.errno, str(path))
    else:
        assert caught.value is error
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["state"]
    assert everything(optimizer, params) == before
    assert_usable(*saved)


@pytest.mark.parametrize("function", ["fsync", "replace", *["fchmod"] * POSIX])
def test_an_error_after_writing(saved, monkeypatch, function):
    optimizer, _, path = saved
    content = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="Input/output error"):
        optimizer.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["state"]
    assert_usable(*saved)


def test_the_first_save_of_all_is_interrupted(saved, monkeypatch):
    optimizer, _, path = saved
    path.unlink()

    def fail(file, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_all", fail)
    with pytest.raises(KeyboardInterrupt):
        optimizer.save(path)
    assert os.listdir(path.parent) == []


def test_the_old_file_is_there_until_the_new_one_is_complete(saved, monkeypatch):
    optimizer, _, path = saved
    content, seen, sources = path.read_bytes(), [], []
    for function in ("fsync", "replace"):
        real = getattr(os, function)

        def watch(*args, real=real):
            seen.append(path.read_bytes() == content)
            sources.append(args[0])
            return real(*args)

        monkeypatch.setattr(os, function, watch)
    optimizer.save(path)
    assert seen == [True, True, *[False] * POSIX]  # the last flushes the folder
    assert os.path.dirname(sources[1]) == str(path.parent)  # elsewhere a rename may be a copy
    assert path.read_bytes() != content


KILLED = """
import os, signal, sys
import gpuopt
from gpuopt.system import files
from tests.helpers.optimizers import arrays, gradients

optimizer = gpuopt.Adam(arrays(0))
optimizer.load(sys.argv[1])
optimizer.step(gradients(1))
write_all = files.write_all

def killed(file, content):
    write_all(file, content[: len(content) // 2])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))

files.write_all = killed
optimizer.save(sys.argv[1])
"""


@pytest.mark.skipif(not POSIX, reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_process_killed_while_it_writes(saved, name):
    path = saved[-1]
    content = path.read_bytes()
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), name],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GPUOPT_BACKEND": "numpy"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.returncode == -getattr(signal, name), child.stderr
    assert path.read_bytes() == content
    if name == "SIGINT":  # Python's own Ctrl-C: an exception, so that it tidies up
        assert os.listdir(path.parent) == ["state"]
    assert_usable(*saved)


# --- paths that cannot be written -----------------------------------------------------------------


def test_paths_that_cannot_be_written(saved, monkeypatch):
    optimizer, params, path = saved
    monkeypatch.chdir(path.parent)  # Windows has no relative path to another drive
    before, content = everything(optimizer, params), path.read_bytes()
    folder = path.parent / "folder"
    folder.mkdir()
    for wrong, error, named in (
        (path.parent / "missing" / "state", FileNotFoundError, "missing"),
        (path / "state", BELOW_A_FILE, "state"),
        (folder, IsADirectoryError, "folder"),
    ):
        for given in (wrong, str(wrong), os.path.relpath(wrong)):
            with pytest.raises(error, match=named) as caught:
                optimizer.save(given)
            assert (caught.value.filename, caught.value.filename2) == (os.fspath(given), None)
    assert path.read_bytes() == content
    assert sorted(os.listdir(path.parent)) == ["folder", "state"]
    assert os.listdir(folder) == []
    assert everything(optimizer, params) == before
    assert_usable(*saved)


@pytest.mark.skipif(not POSIX, reason="special files of POSIX")
def test_what_is_no_file_is_not_replaced(saved):
    """A pipe, or /dev/null: the rename would put a file in its place."""
    optimizer, _, path = saved
    pipe = path.parent / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"not a regular file.*pipe"):
        optimizer.save(pipe)
    assert pipe.is_fifo()
    assert sorted(os.listdir(path.parent)) == ["pipe", "state"]


@pytest.mark.skipif(not POSIX, reason="links of POSIX")
def test_a_link_is_followed(saved):
    """It stays a link, and the file that it leads to is replaced as a whole."""
    optimizer, params, path = saved
    folder = path.parent / "folder"
    folder.mkdir()
    path.rename(folder / "real")
    link = path.parent / "link"
    link.symlink_to(folder / "real")
    before = (folder / "real").read_bytes()
    optimizer.save(link)
    assert link.is_symlink()
    assert (folder / "real").read_bytes() != before
    assert os.listdir(folder) == ["real"]
    assert_usable(optimizer, params, link)


@pytest.mark.skipif(not POSIX, reason="file permissions of POSIX")
def test_a_folder_that_cannot_be_written(saved):
    optimizer, _, path = saved
    content = path.read_bytes()
    path.parent.chmod(0o555)
    user = os.geteuid()
    if user == 0:  # root may write anywhere: be somebody else
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="state"):
            optimizer.save(path)
    finally:
        if user == 0:
            os.seteuid(0)
        path.parent.chmod(0o755)
    assert path.read_bytes() == content
    assert_usable(*saved)
