"""A table of the host's arrays that a GPU updates: they are copied there and back at every step."""

import ctypes
from dataclasses import replace

import torch
from gpuopt.kernels.storage import STORAGE

ALIGNMENT = 16


class Ferried:
    """Mixed into a backend's `DeviceTable`.

    Attributes:
        there: the device.
    """

    there = "cuda:0"

    def __init__(self, table, *others):
        super().__init__(replace(table, device=self.there, library="torch"), *others)
        self._table = table

    def send_addresses(self, addresses):
        """The device hears of its own copies alone."""

    def run(self):
        """Update copies of all tensors, and copy what is written back."""
        addresses, ferried = self._table.addresses.copy(), []
        for i, dtype in enumerate(self._table.dtypes):
            for j, size in enumerate(self._table.sizes.tolist()):
                if addresses[i, j] and size:
                    here = _bytes_at(int(addresses[i, j]), size * STORAGE[dtype].itemsize)
                    copy = self._copied(here)
                    addresses[i, j] = copy.data_ptr()
                    ferried.append((here, copy, i in self._table.update.written))
        super().send_addresses(addresses)
        super().run()
        for here, copy, changed in ferried:
            if changed:
                here.copy_(copy)

    def _copied(self, here):
        """Return a copy that is aligned as the original is."""
        shift = here.data_ptr() % ALIGNMENT
        buffer = torch.empty(len(here) + 2 * ALIGNMENT, dtype=torch.uint8, device=self.there)
        first = shift - buffer.data_ptr() % ALIGNMENT + ALIGNMENT
        return buffer[first : first + len(here)].copy_(here)


def _bytes_at(address, size):
    return torch.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype=torch.uint8)
