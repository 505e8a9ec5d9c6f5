"""The table walked by Triton: one launch for all tensors of a table.

This is the host's side: what is compiled, what is copied to the device, and the launches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton

from .table import Table
from .torch_memory import Mailbox, upload
from .triton_constants import (
    CHUNK,
    COEFFICIENT_BLOCK,
    OPTIONS,
    coefficients_constants,
    update_constants,
    update_options,
)
from .triton_kernels import INTERPRETED, multi_tensor_coefficients, multi_tensor_update

__all__ = ["CHUNK", "SIMULATED_ON", "DeviceTable", "problem"]

SIMULATED_ON = ("cpu",) if INTERPRETED else ()
"""Kinds of device whose memory it can walk without a GPU."""


def problem() -> str | None:
    """Return why it cannot run here, or None."""
    if torch.cuda.is_available() or INTERPRETED:
        return None
    if torch.version.cuda is None:
        return "this torch is built without CUDA; install a CUDA build of torch"
    return "torch finds no CUDA device (driver, CUDA_VISIBLE_DEVICES?)"


class DeviceTable:
    """A table in device memory, with the step counts and the options of its tensors.

    Nothing here waits for the device, but `read_steps`.
    """

    def __init__(
        self,
        table: Table,
        steps: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        options: npt.NDArray[np.float64],
    ) -> None:
        """Copy everything to the device, and compile.

        Args:
            table: the host's table.
            steps: updates that each tensor of the table has had.
            groups: the group of each.
            options: one row a group, in the order of the update's option names.
        """
        device = table.device
        self._addresses = Mailbox(table.addresses, device)
        self._options = Mailbox(options, device)
        self._steps = upload(steps, device)
        self._arguments = (
            self._addresses.tensor,
            upload(table.sizes, device),
            upload(table.chunks, device),
            upload(table.coefficients, device),
            len(table.sizes),
        )
        self._coefficient_arguments = (
            self._addresses.tensor,
            self._steps,
            upload(groups, device),
            self._options.tensor,
            self._arguments[3],
            len(table.sizes),
        )
        self._grid = (len(table.chunks),)
        self._coefficient_grid = (triton.cdiv(len(table.sizes), COEFFICIENT_BLOCK),)
        self._constants = {
            **update_constants(table.update, table.dtypes, table.vectors),
            **update_options(table.dtypes),
        }
        self._coefficient_constants = {**coefficients_constants(table.update), **OPTIONS}
        self._device = torch.device(device)

    def send_addresses(self, addresses: npt.NDArray[np.int64]) -> None:
        """Tell the device where the arrays lie now."""
        with self._on_device():
            self._addresses.send(addresses)

    def send_options(self, options: npt.NDArray[np.float64]) -> None:
        """Tell the device the groups' options."""
        with self._on_device():
            self._options.send(options)

    def follow(self, group: int, option: int, tensor: torch.Tensor) -> None:
        """Take an option from a tensor on the device: at a replay, its value by then."""
        if tensor.device.type == self._device.type:
            self._options.tensor[group, option].copy_(tensor.detach().reshape(()))

    def run(self) -> None:
        """Update every tensor that has a gradient, on the current stream of the device."""
        with self._on_device(), np.errstate(all="ignore"):  # the interpreter computes in NumPy
            multi_tensor_coefficients[self._coefficient_grid](
                *self._coefficient_arguments, **self._coefficient_constants
            )
            if self._grid[0]:
                multi_tensor_update[self._grid](*self._arguments, **self._constants)

    def read_steps(self) -> npt.NDArray[np.int64]:
        """Return how many updates each tensor has had; waits for the device."""
        counts: npt.NDArray[np.int64] = self._steps.cpu().numpy().copy()
        return counts

    def _on_device(self) -> Any:
        return torch.cuda.device(self._device if self._device.type == "cuda" else -1)
