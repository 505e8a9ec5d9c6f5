"""A device table over host arrays, which are copied to the GPU and back at every step."""

import ctypes
from dataclasses import replace

import torch
from gpuopt.kernels.storage import STORAGE
from gpuopt.kernels.table import items_of, stored_rows

ALIGNMENT = 16


class Staged:
    """Mixed into a backend's `DeviceTable`.

    The first launch of a step copies: those before the update read the same copies.

    Attributes:
        staging_device: the device.
    """

    staging_device = "cuda:0"

    def __init__(self, table, *others):
        super().__init__(replace(table, device=self.staging_device, library="torch"), *others)
        self._table, self._copies = table, None

    def hold_also(self, arrays):
        """Let each step hold those of the device; the states are on the host."""
        super().hold_also([array for array in arrays if array.is_cuda])

    def send_addresses(self, addresses):
        """Do nothing: `_copy` sends the addresses of the copies."""

    def begin(self):
        """Begin a step without the copies of one that was skipped."""
        self._copies = None
        return super().begin()

    def measure(self, update):
        """Measure copies."""
        self._copy_once()
        return super().measure(update)

    def total_up(self):
        """Find in copies what totals are made of."""
        self._copy_once()
        super().total_up()

    def read_sums(self):
        """Find the sums of copies."""
        self._copy_once()
        return super().read_sums()

    def run(self):
        """Update device copies of all tensors, and copy the written ones back."""
        self._copy_once()
        super().run()
        for here, copy, changed in self._copies:
            if changed:
                here.copy_(copy)
        self._copies = None

    def _copy_once(self):
        if self._copies is not None:
            return
        addresses, self._copies = self._table.addresses.copy(), []
        for i, dtype in enumerate(self._table.dtypes):
            for j, size in enumerate(self._table.sizes.tolist()):
                if addresses[i, j] and size:
                    count = items_of(self._table.update, i, size)
                    here = _bytes_at(int(addresses[i, j]), count * STORAGE[dtype].itemsize)
                    copy = self._copied(here)
                    addresses[i, j] = copy.data_ptr()
                    self._copies.append((here, copy, i in stored_rows(self._table.update)))
        super().send_addresses(addresses)

    def _copied(self, here):
        """Return a device copy with the same alignment."""
        shift = here.data_ptr() % ALIGNMENT
        buffer = torch.empty(
            len(here) + 2 * ALIGNMENT, dtype=torch.uint8, device=self.staging_device
        )
        first = shift - buffer.data_ptr() % ALIGNMENT + ALIGNMENT
        return buffer[first : first + len(here)].copy_(here)


class StagedTotal:
    """Mixed into a backend's `DeviceTotal`: it lies where the copies do."""

    def __init__(self, device, library):
        super().__init__(Staged.staging_device, "torch")


def _bytes_at(address, size):
    return torch.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype=torch.uint8)
