"""Optimizer states in safetensors files, which are written completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..arrays import describe, to_numpy
from ..kernels.storage import STORAGE

FORMAT = "gpuopt-optimizer-1"

_WHOLE = ("param_groups", "state_dtype", "skipped_steps")
"""The entries of a state dict that are written as JSON."""


class Stored:
    """An array from a file: its values in storage form (bfloat16 as uint16), and its dtype."""

    def __init__(self, values: npt.NDArray[Any], dtype: str) -> None:
        """Store the values and their dtype."""
        self.values, self.dtype = values, dtype


def write(path: str | os.PathLike[str], state_dict: Mapping[str, Any]) -> None:
    """Write a state dict to a file; an interrupted write leaves an old file unchanged.

    bfloat16 states are written as their bits, in uint16.

    Raises:
        OSError: the file cannot be written.
        ImportError: safetensors is not installed.
    """
    library = _safetensors()
    tensors, steps, numbers, dtypes = {}, {}, {}, {}
    for key, state in state_dict["state"].items():
        plain = {name: value for name, value in state.items() if isinstance(value, (int, float))}
        steps[str(key)], numbers[str(key)] = plain.pop("step"), plain
        for name, array in state.items():
            if name != "step" and name not in plain:
                tensors[f"{key}.{name}"] = to_numpy(array)
                dtypes[f"{key}.{name}"] = describe(array, name).dtype
    parts = {"steps": steps, "numbers": numbers, "dtypes": dtypes}
    parts.update((name, state_dict[name]) for name in _WHOLE)
    header = {"format": FORMAT, "optimizer": state_dict["optimizer"]}
    header.update((name, json.dumps(part)) for name, part in parts.items())
    try:
        _replace(
            Path(os.path.realpath(path)),
            lambda name: library.numpy.save_file(tensors, name, header),
        )
    except OSError as error:
        if error.filename is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None  # no temporary file


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state dict in a file that `write` wrote, with arrays as `Stored`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is truncated, or was not written by gpuopt.
    """
    library = _safetensors()
    name = os.fspath(path)
    open(name, "rb").close()  # raises an OSError that names the file; the library's may not
    try:
        with library.safe_open(name, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ValueError(
                    f"{name}: not a gpuopt file: expected format {FORMAT!r}, "
                    f"got {header.get('format')!r}"
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    except library.SafetensorError as error:
        raise ValueError(f"{name}: not a safetensors file, or a damaged one: {error}") from None
    try:
        return _assemble(header, tensors)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: a damaged gpuopt file: {error!r}") from None


def _assemble(header: Mapping[str, str], tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    whole = {name: json.loads(header[name]) for name in _WHOLE if name in header}
    steps, dtypes = json.loads(header["steps"]), json.loads(header["dtypes"])
    numbers = json.loads(header.get("numbers", "{}"))
    keys = {str(key): key for group in whole["param_groups"] for key in group["params"]}
    state: dict[Any, dict[str, Any]] = {
        keys[text]: {"step": n, **numbers.get(text, {})} for text, n in steps.items()
    }
    for name, dtype in dtypes.items():
        text, _, state_name = name.rpartition(".")
        if tensors[name].dtype != STORAGE[dtype]:
            raise ValueError(
                f"{name}: the header says {dtype}, the tensor is {tensors[name].dtype}"
            )
        state[keys[text]][state_name] = Stored(tensors[name], dtype)
    return {"optimizer": header["optimizer"], "state": state, **whole}


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "saving and loading need the package safetensors: pip install 'gpuopt[cpu]'"
        ) from None
    return safetensors


def _replace(target: Path, write_to: Callable[[str], None]) -> None:
    """Write a temporary file next to ``target``, flush it to disk, and rename it to ``target``."""
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(target))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        write_to(name)
        with open(name, "rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
