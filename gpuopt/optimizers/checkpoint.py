"""Optimizer states in safetensors files, which are written completely or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ..arrays import describe_state, to_numpy
from ..kernels.storage import STORAGE
from . import tensor_file

FORMAT = "gpuopt-optimizer-1"

_WHOLE = ("param_groups", "state_dtype", "skipped_steps")
"""The entries of a state dict that are written as JSON."""

_BY_KEY = ("formats", "orders")
"""Further such entries, keyed by array; a state dict may lack them."""

_KNOWN = {
    "format",
    "optimizer",
    "steps",
    "numbers",
    "dtypes",
    "formats_version",
    *_BY_KEY,
    *_WHOLE,
}


class Stored:
    """An array from a file: its values in storage form (bfloat16 as uint16), and its dtype."""

    def __init__(self, values: npt.NDArray[Any], dtype: str) -> None:
        """Store the values and their dtype."""
        self.values, self.dtype = values, dtype


def write(path: str | bytes | os.PathLike[Any], state_dict: Mapping[str, Any]) -> None:
    """Write a state dict to a file; an interrupted write leaves an old file unchanged.

    bfloat16 states are written as their bits, in uint16.

    Raises:
        OSError: the file cannot be written.
        TypeError: not a path.
        ValueError: a name or path that no file can hold.
        ImportError: safetensors, which reads the file, is not installed.
    """
    library, name = _safetensors(), _path(path)
    tensors, steps, numbers, dtypes = {}, {}, {}, {}
    by_key = {
        part: {str(key): own for key, own in state_dict[part].items()}
        for part in _BY_KEY
        if part in state_dict
    }
    for key, state in state_dict["state"].items():
        plain = {name: value for name, value in state.items() if isinstance(value, (int, float))}
        steps[str(key)], numbers[str(key)] = plain.pop("step"), plain
        for part, array in state.items():
            if part != "step" and part not in plain:
                tensors[f"{key}.{part}"] = to_numpy(array)
                dtypes[f"{key}.{part}"] = describe_state(array, part).dtype
    parts = {"steps": steps, "numbers": numbers, "dtypes": dtypes, **by_key}
    if "formats" in by_key:
        parts |= {"formats_version": state_dict["formats_version"]}
    parts.update((part, state_dict[part]) for part in _WHOLE)
    texts = {"format": FORMAT, "optimizer": state_dict["optimizer"]}
    texts.update((part, json.dumps(value)) for part, value in parts.items())
    tensor_file.write(library, name, tensors, texts)


def read(path: str | bytes | os.PathLike[Any]) -> dict[str, Any]:
    """Return the state dict in a file that `write` wrote, with arrays as `Stored`.

    The checksum over the whole file is verified; older versions of gpuopt did not write one.

    Raises:
        OSError: the file cannot be read.
        TypeError: not a path.
        ValueError: it is truncated or damaged, or was not written by gpuopt.
        ImportError: safetensors is not installed.
    """
    library, name = _safetensors(), _path(path)
    texts, tensors = tensor_file.read(library, name, FORMAT)
    try:
        contents = _assemble(texts, tensors)
        tensor_file.check(tensors, texts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: a damaged gpuopt file: {error!r}") from None
    except RecursionError:
        raise ValueError(f"{name}: a damaged gpuopt file: nested too deeply") from None
    return contents


def _path(path: Any) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"path: expected a str, bytes or os.PathLike, got {path!r}")
    name = os.fsdecode(path)
    if "\0" in name:
        raise ValueError(f"path: no file name contains a null character, got {path!r}")
    return name


def _assemble(header: Mapping[str, str], tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    if tensor_file.CHECKSUM not in header and (unknown := header.keys() - _KNOWN):
        raise ValueError(f"no checksum, and unknown entries {sorted(unknown)}")  # its name, damaged
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
    for part in (part for part in _BY_KEY if part in header):
        whole[part] = {keys[text]: own for text, own in json.loads(header[part]).items()}
    if "formats" in header:
        whole["formats_version"] = json.loads(header["formats_version"])
    return {"optimizer": header["optimizer"], "state": state, **whole}


def _safetensors() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError(
            "saving and loading need the package safetensors: pip install 'gpuopt[cpu]'"
        ) from None
    return safetensors
