"""A save is whole or not at all, whatever interrupts it, and harms no other file."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import gpuopt
from gpuopt.system import files
from tests.helpers.scripts import ROOT, run_script

pytest.importorskip("safetensors")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of POSIX")

LONG = os.environ.get("GPUOPT_LONG_FAULTS") == "1"


def trained(steps=1, size=8):
    """An optimizer whose state says how many steps it took."""
    with gpuopt.use_backend("numpy"):
        optimizer = gpuopt.Momentum([np.zeros(size, np.float32)], lr=1.0)
        for _ in range(steps):
            optimizer.step([np.ones(size, np.float32)])
    return optimizer


def steps_in(path):
    """Load a file and return the steps that it holds."""
    loaded = trained(0)
    loaded.load(path)
    return loaded.state[0]["step"]


@pytest.fixture
def path(tmp_path):
    """A saved state, after one step."""
    trained().save(tmp_path / "state")
    return tmp_path / "state"


# --- Ctrl-C -----------------------------------------------------------------------------------


TRACED = {str(ROOT / "gpuopt" / name) for name in ("system/files.py", "optimizers/checkpoint.py")}
TRACED |= {str(ROOT / "gpuopt" / "optimizers" / "tensor_file.py"), tempfile.__file__}
"""Not the whole library of Python: its own locks, as of cached_property, would stay locked."""


class Interrupt:
    """A tracer that raises KeyboardInterrupt at one of the lines that run."""

    def __init__(self, line):
        self.left = line

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line(path):
    """It arrives as what it is, leaves one of the two states, and no other file."""
    new, old = trained(2), path.read_bytes()
    before = sys.gettrace()
    found = set()
    line = 0
    while True:
        line += 1
        path.write_bytes(old)
        try:
            sys.settrace(Interrupt(line))
            new.save(path)
        except KeyboardInterrupt:
            sys.settrace(before)
        else:
            break
        finally:
            sys.settrace(before)
        assert os.listdir(path.parent) == ["state"], line
        found.add(steps_in(path))
    assert found == {1, 2}
    assert line > 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_by_signals(path):
    """At any time, also within the system's calls.

    A file that was just opened, and has no name yet, is closed with a ResourceWarning.
    """
    new, old = trained(2, size=50_000), trained(1, size=50_000)
    old.save(path)
    old = path.read_bytes()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    rng, interrupted = random.Random(0), 0
    try:
        for _ in range(5_000 if LONG else 150):
            path.write_bytes(old)
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 2e-3))
                new.save(path)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert os.listdir(path.parent) == ["state"]
            loaded = trained(0, size=50_000)
            loaded.load(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted


# --- leftovers of killed processes ------------------------------------------------------------

KILLED = """
import os, signal
from gpuopt.system import files
from tests.faults.test_saving import trained

write_all = files.write_all
def killed(file, content):
    write_all(file, content[:100])
    {act}
files.write_all = killed
trained(2).save({path!r})
"""


def started(path, act):
    """A process that saves to a path, and does something in the midst of it."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=str(path), act=act)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_the_leftover_of_a_killed_save_goes_with_the_next(path):
    others = ["state.partial", ".gpuopt-0123456789abcdef-0123456789abcdef.partial", ".state.x"]
    for other in others:
        (path.parent / other).touch()
    with started(path, "os.kill(os.getpid(), signal.SIGKILL)") as process:
        process.communicate()
    assert len(os.listdir(path.parent)) == len(others) + 2
    assert steps_in(path) == 1
    trained(3).save(path.parent / "another")
    assert len(os.listdir(path.parent)) == len(others) + 3  # it is not that one's
    trained(3).save(path)
    assert sorted(os.listdir(path.parent)) == sorted([*others, "another", "state"])


def test_a_save_that_goes_on_in_another_process_keeps_its_file(path):
    with started(path, "print(flush=True); input(); files.write_all = write_all") as process:
        process.stdout.readline()
        trained(3).save(path)
        assert len(os.listdir(path.parent)) == 2
        assert steps_in(path) == 3
        process.communicate(b"\n")
    assert os.listdir(path.parent) == ["state"]


def test_a_save_whose_partial_file_was_taken_for_a_leftover(path, monkeypatch):
    """Between its creation and its lock, another save removes it."""
    lock, removed = files._lock, []

    def late(handle, *rest):
        if not removed:
            removed.extend(path.parent.glob(".gpuopt-*"))
            removed[0].unlink()
        return lock(handle, *rest)

    monkeypatch.setattr(files, "_lock", late)
    trained(2).save(path)
    assert os.listdir(path.parent) == ["state"]
    assert steps_in(path) == 2


@pytest.mark.parametrize(("age", "stays"), [(60, True), (25 * 3600, False)])
def test_where_files_cannot_be_locked_their_age_decides(path, monkeypatch, age, stays):
    import fcntl

    def fail(*args):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    with started(path, "os.kill(os.getpid(), signal.SIGKILL)") as process:
        process.communicate()
    (leftover,) = path.parent.glob(".gpuopt-*")
    then = leftover.stat().st_mtime - age
    os.utime(leftover, (then, then))
    monkeypatch.setattr(fcntl, "flock", fail)
    trained(2).save(path)
    assert leftover.exists() == stays
    assert steps_in(path) == 2


def test_many_save_to_one_path_at_once(path):
    """Every load finds a whole file."""
    rounds = 400 if LONG else 40
    failed = []

    def save(steps):
        try:
            optimizer = trained(steps)
            for _ in range(rounds):
                optimizer.save(path)
                assert 1 <= steps_in(path) <= 4
        except BaseException as error:
            failed.append(error)

    threads = [Thread(target=save, args=(steps,)) for steps in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert os.listdir(path.parent) == ["state"]


# --- what cannot be written -------------------------------------------------------------------


def test_a_full_disk_is_an_os_error(path):
    said = run_script(f"""
        import errno, os, resource
        from tests.faults.test_saving import trained
        optimizer = trained(2, size=100_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            optimizer.save({str(path)!r})
        except OSError as error:
            print(error.errno == errno.EFBIG, error.filename)
    """)
    assert said == f"True {path}\n"
    assert os.listdir(path.parent) == ["state"]
    assert steps_in(path) == 1


def test_more_names_than_a_header_holds(path):
    name = "n" * 21_000_000  # it is there five times
    optimizer = gpuopt.SGD({name: np.zeros(3, np.float32)}, lr=0.1, momentum=0.9)
    optimizer.step({name: np.ones(3, np.float32)})
    with pytest.raises(OSError, match="at most 100000000 can be saved") as caught:
        optimizer.save(path)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert os.listdir(path.parent) == ["state"]
    assert steps_in(path) == 1


def test_a_name_that_is_no_text(path):
    optimizer = gpuopt.SGD({"a\udc80": np.zeros(3, np.float32)}, lr=0.1, momentum=0.9)
    optimizer.step({"a\udc80": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"not valid Unicode cannot be saved: 'a\\udc80"):
        optimizer.save(path)
    assert os.listdir(path.parent) == ["state"]


# --- permissions ------------------------------------------------------------------------------


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_umask_is_never_changed(path, monkeypatch):
    """Another thread would make files that anybody may write to."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("umask"))
    trained(2).save(path)
    path.unlink()
    trained(2).save(path)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o444])
def test_a_file_keeps_its_permissions(path, mode):
    path.chmod(mode)
    trained(2).save(path)
    assert mode_of(path) == mode
    assert steps_in(path) == 2


def test_nobody_else_reads_what_is_not_complete(path, monkeypatch):
    seen, write_all = [], files.write_all

    def watch(file, content):
        seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        write_all(file, content)

    monkeypatch.setattr(files, "write_all", watch)
    trained(2).save(path)
    path.unlink()
    trained(2).save(path)
    assert set(seen) == {0o600}


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="root")
def test_a_file_keeps_its_owner_and_group(path):
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    trained(2).save(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, mode_of(path)) == (1234, 2345, 0o640)


def test_another_group_gets_no_permissions(path, monkeypatch):
    """Of a file whose group this user cannot give."""
    path.chmod(0o664)
    old = os.lstat(path)
    other = os.stat_result((*old[:5], old.st_gid + 1, *old[6:]))
    monkeypatch.setattr(files, "_status", lambda target: other)

    def fail(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", fail)
    trained(2).save(path)
    assert mode_of(path) == 0o604


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"n" * 255, "\u00df".encode(), b"\xff\xfe", "n" * 255])
def test_names_that_the_file_system_takes(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path) if isinstance(name, bytes) else tmp_path, name)
    for steps in (1, 2):
        trained(steps).save(path)
        assert steps_in(path) == steps
    assert os.listdir(tmp_path) == [os.fsdecode(name)]


@pytest.mark.parametrize("wrong", [3, None, ["state"]])
def test_what_is_no_path_is_named(wrong):
    for act in (trained().save, trained().load):
        with pytest.raises(TypeError, match=r"path: expected a str, bytes or os\.PathLike, got"):
            act(wrong)


@pytest.mark.parametrize("wrong", ["a\0b", b"a\0b", Path("a\0b")])
def test_a_path_with_a_null_character(wrong):
    for act in (trained().save, trained().load):
        with pytest.raises(ValueError, match="path: no file name contains a null character"):
            act(wrong)


def test_a_pipe_is_refused_and_not_waited_for(path):
    pipe = path.parent / "pipe"
    os.mkfifo(pipe)
    said = run_script(
        f"""
        from tests.faults.test_saving import trained
        for path in ({str(pipe)!r}, "/dev/null"):
            try:
                trained().load(path)
            except OSError as error:
                print(error)
        """,
        timeout=30,
    )
    assert said == (
        f"[Errno 22] not a regular file: '{pipe}'\n[Errno 22] not a regular file: '/dev/null'\n"
    )


# --- damaged files ----------------------------------------------------------------------------


def flipped(content, bit):
    """The content with one bit changed."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_flipped_bit_is_noticed(path):
    """Anywhere: in the header, in the checksum and its name, in the data."""
    content = path.read_bytes()
    bits = range(8 * len(content))
    taken = [
        bit
        for bit in (bits if LONG else random.Random(0).sample(bits, 800))
        if _loads(path, flipped(content, bit))
    ]
    assert taken == []


def test_a_damaged_name_of_the_checksum_is_noticed(path):
    content = path.read_bytes()
    start = 8 * content.index(b"checksum")
    for bit in range(start, start + 64):
        assert not _loads(path, flipped(content, bit))


def _loads(path, content):
    path.write_bytes(content)
    try:
        steps_in(path)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    return True


def without_checksum(path, change=lambda texts: None):
    """Write a file as gpuopt wrote it before it had checksums."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    arrays = load_file(path)
    with safe_open(path, framework="numpy") as file:
        texts = file.metadata()
    assert texts.pop("checksum").startswith('"crc32:')
    change(texts)
    save_file(arrays, path, texts)


def test_a_file_without_a_checksum_is_loaded(path):
    without_checksum(path)
    assert steps_in(path) == 1


@pytest.mark.parametrize("part", ["steps", "dtypes", "numbers", "param_groups", "state_dtype"])
@pytest.mark.parametrize("depth", [3_000, 100_000])
def test_deep_nesting_is_a_damaged_file(path, part, depth):
    without_checksum(path, lambda texts: texts.update({part: "[" * depth + "]" * depth}))
    with pytest.raises(ValueError, match="a damaged gpuopt file: nested too deeply"):
        steps_in(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4", "C64", "I16", "BOOL"])
def test_a_dtype_that_numpy_does_not_know_is_a_damaged_file(path, dtype):
    without_checksum(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    bits = int({"F8_E4M3": 8, "C64": 64, "BOOL": 8}.get(dtype) or dtype[-2:].strip("F"))
    header = content[8 : 8 + size].replace(b'"F32"', f'"{dtype}"'.encode())
    header = header.replace(b'"shape":[8]', f'"shape":[{8 * 32 // bits}]'.encode())
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    with pytest.raises(ValueError, match=r"a damaged one|a damaged gpuopt file"):
        steps_in(path)
