"""The files of a system without locks, modes and links, that keeps open files where they are.

Windows itself has its turn in CI; here its rules hold for the two modules that touch files.
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import gpuopt
from gpuopt.optimizers import tensor_file
from gpuopt.system import files
from tests.helpers.optimizers import arrays, everything, gradients

pytest.importorskip("safetensors")
OPEN = Path("/proc/self/fd")
if not OPEN.is_dir():
    pytest.skip("which files are open is known on Linux", allow_module_level=True)

MISSING = {"fchmod", "fchown", "geteuid", "O_NONBLOCK", "O_NOFOLLOW"}


def check_closed(path):
    """Raise what Windows says of a file that somebody has open."""
    if any(os.path.realpath(one) == os.path.realpath(path) for one in OPEN.iterdir()):
        raise PermissionError(13, "The process cannot access the file", path)


class Windows:
    """The module os, as it is there."""

    def __getattr__(self, name):
        if name in MISSING:
            raise AttributeError(name)
        return getattr(os, name)

    def open(self, path, flags, mode=0o777):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        return os.open(path, flags, mode)

    def unlink(self, path):
        check_closed(path)
        os.unlink(path)

    def replace(self, source, target):
        check_closed(source)
        if os.path.isdir(target):
            raise PermissionError(13, "Access is denied", source, None, target)
        os.replace(source, target)


@pytest.fixture(autouse=True)
def windows(monkeypatch):
    for module in (files, tensor_file):
        monkeypatch.setattr(module, "os", Windows())
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.delattr(files, "fcntl")


@pytest.fixture
def optimizer():
    optimizer = gpuopt.Adam(arrays(0))
    optimizer.step(gradients(0))
    return optimizer


def loaded(path):
    other = gpuopt.Adam(arrays(0))
    other.load(path)
    return everything(other, [])[1:]


def test_a_file_is_written_and_replaced(optimizer, tmp_path):
    for step in range(2):
        optimizer.save(tmp_path / "state")
        assert loaded(tmp_path / "state") == everything(optimizer, [])[1:]
        assert os.listdir(tmp_path) == ["state"]
        optimizer.step(gradients(step))


def test_an_old_file_stays_when_a_save_fails(optimizer, tmp_path, monkeypatch):
    optimizer.save(tmp_path / "state")
    before = (tmp_path / "state").read_bytes()

    def fail(file, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_all", fail)
    with pytest.raises(KeyboardInterrupt):
        optimizer.save(tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == before
    assert os.listdir(tmp_path) == ["state"]


def test_an_old_file_that_is_open_stays(optimizer, tmp_path, monkeypatch):
    def refuse(self, source, target):
        check_closed(target)
        raise AssertionError("it is open")

    optimizer.save(tmp_path / "state")
    before = (tmp_path / "state").read_bytes()
    optimizer.step(gradients(1))
    monkeypatch.setattr(Windows, "replace", refuse)
    with open(tmp_path / "state", "rb"), pytest.raises(PermissionError, match="state") as caught:
        optimizer.save(tmp_path / "state")
    assert caught.value.filename == str(tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == before
    assert os.listdir(tmp_path) == ["state"]


def test_what_a_killed_process_left_is_removed_after_a_day(optimizer, tmp_path, monkeypatch):
    """Earlier, its writer may still be at work."""

    def killed(self):
        self._file.close()

    with monkeypatch.context() as patch:
        patch.setattr(files._Partial, "remove", killed)
        patch.setattr(files, "write_all", lambda file, content: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            optimizer.save(tmp_path / "state")
    (left,) = tmp_path.iterdir()
    optimizer.save(tmp_path / "state")
    assert left.exists()
    a_day_ago = time.time() - 24 * 3600 - 60
    os.utime(left, (a_day_ago, a_day_ago))
    optimizer.save(tmp_path / "state")
    assert os.listdir(tmp_path) == ["state"]


def test_a_folder_is_named_as_one(optimizer, tmp_path):
    for act in (optimizer.save, optimizer.load):
        with pytest.raises(IsADirectoryError) as caught:
            act(tmp_path)
        assert caught.value.filename == str(tmp_path)
