"""Named arrays and strings in a safetensors file, with a checksum over all of them."""

from __future__ import annotations

import errno
import json
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from io import FileIO
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system import files

CHECKSUM = "checksum"
"""The key of the checksum among the strings."""

_HEADER = 100_000_000
"""Maximum bytes of a header, by the format."""

_PIECE = 1 << 20
"""Bytes that are checksummed and written together, while they are in the cache."""

Arrays = Mapping[str, npt.NDArray[Any]]


def write(library: Any, path: str, arrays: Arrays, texts: Mapping[str, str]) -> None:
    """Write a file atomically; the permissions of an old one are kept.

    The new file's header is read back before the file replaces the old one.

    Args:
        library: safetensors.
        path: a regular file, or one that does not exist.
        arrays: arrays by name.
        texts: strings by name.

    Raises:
        OSError: the file cannot be written.
        ValueError: a name is not valid Unicode.
    """
    target = os.path.realpath(path)
    _check_no_folder(target, path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "not a regular file", path)

    def content(file: FileIO) -> None:
        files.write_all(file, _header(arrays, texts, 0))
        checksum = _start(arrays, texts)
        for piece in _pieces(arrays):
            checksum = zlib.crc32(piece, checksum)
            files.write_all(file, piece)
        file.seek(0)
        files.write_all(file, _header(arrays, texts, checksum))  # of the same length
        library.safe_open(file.name, framework="numpy").__exit__(None, None, None)

    try:
        files.replace(target, content)
    except OSError as error:  # without the name of the temporary file
        raise OSError(error.errno, error.strerror, path) from None


def read(library: Any, path: str, form: str) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """Return the strings and arrays of a file.

    Args:
        library: safetensors.
        path: a regular file.
        form: the required value of its string ``format``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a safetensors file, or a damaged one, or has another format.
    """
    _check_regular(path)
    try:
        with library.safe_open(path, framework="numpy") as file:
            texts: dict[str, str] = file.metadata() or {}
            found = texts.get("format")
            names = file.keys() if found == form else ()
            arrays = {name: file.get_tensor(name) for name in names}
    except (library.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{path}: not a safetensors file, or a damaged one: {error}"
        raise ValueError(problem) from None
    if found != form:
        raise ValueError(f"{path}: not a gpuopt file: expected format {form!r}, got {found!r}")
    return texts, arrays


def check(arrays: Arrays, texts: Mapping[str, str]) -> None:
    """Compare the checksum of a file, if it has one, with that of its content.

    Raises:
        ValueError: they differ.
    """
    stored = texts.get(CHECKSUM)
    if stored is None:
        return
    checksum = _start(arrays, texts)
    for piece in _pieces(arrays):
        checksum = zlib.crc32(piece, checksum)
    if stored != _text(checksum):
        raise ValueError(f"its checksum is {stored}, that of its content is {_text(checksum)}")


def _check_regular(path: str) -> None:
    """Raise an OSError that names the file; the library's may not, and it blocks on a pipe."""
    _check_no_folder(path, path)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


def _check_no_folder(path: str, given: str) -> None:
    """Raise IsADirectoryError for a folder; Windows would report a denied permission."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), given)


def _text(checksum: int) -> str:
    return json.dumps(f"crc32:{checksum:08x}")


def _start(arrays: Arrays, texts: Mapping[str, str]) -> int:
    """Return the checksum of everything but the arrays' elements."""
    others = sorted((name, text) for name, text in texts.items() if name != CHECKSUM)
    layout = [(name, _dtype(arrays[name]), arrays[name].shape) for name in _order(arrays)]
    return zlib.crc32(json.dumps([others, layout]).encode())


def _order(arrays: Arrays) -> list[str]:
    """Return the names in the order of the file, in which every array is aligned."""
    return sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))


def _dtype(array: npt.NDArray[Any]) -> str:
    """Return the format's name of a dtype, such as F32."""
    return f"{array.dtype.kind.upper()}{8 * array.itemsize}"


def _header(arrays: Arrays, texts: Mapping[str, str], checksum: int) -> bytes:
    header: dict[str, Any] = {"__metadata__": {**texts, CHECKSUM: _text(checksum)}}
    end = 0
    for name in _order(arrays):
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _dtype(array),
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        name = next(each for each in arrays if each.encode(errors="replace").decode() != each)
        raise ValueError(f"a name that is not valid Unicode cannot be saved: {name!r}") from None
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    if len(text) > _HEADER:
        problem = f"names and options take {len(text)} bytes, at most {_HEADER} can be saved"
        raise OSError(errno.EFBIG, problem)
    return len(text).to_bytes(8, "little") + text


def _pieces(arrays: Arrays) -> Iterator[memoryview]:
    """Yield the elements of all arrays, little-endian, in the order of the file."""
    for name in _order(arrays):
        array = arrays[name]
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        content = np.ascontiguousarray(little).reshape(-1).view(np.uint8).data
        for start in range(0, len(content), _PIECE):
            yield content[start : start + _PIECE]
