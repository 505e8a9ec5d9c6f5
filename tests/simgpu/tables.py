"""A table whose launches may touch its own arrays, and nothing else."""

from gpuopt.kernels.storage import STORAGE
from gpuopt.kernels.table import items_of, stored_rows

from .memory import Region, only


class Bounded:
    """Mixed into a `gpuopt.kernels.device_table.DeviceTable` in the memory of the host."""

    def __init__(self, table, *others):
        super().__init__(table, *others)
        self._table = table

    def run(self):
        """Update every tensor that has a gradient."""
        with only([*self._of_tensors(), *self._of_table()]):
            super().run()

    def _of_tensors(self):
        """Return the arrays that the table tells the addresses of."""
        table, addresses = self._table, self._addresses.array.tolist()
        stored = stored_rows(table.update)
        for i, (dtype, row) in enumerate(zip(table.dtypes, addresses)):
            for address, size in zip(row, table.sizes.tolist()):
                if address:
                    count = items_of(table.update, i, size)
                    yield Region(address, count * STORAGE[dtype].itemsize, i in stored)

    def _of_table(self):
        """Return the table itself; what the host tells the device, the device does not change."""
        told = (self._addresses.array, self._options.array)
        for array in self._arrays:
            yield Region.of(array, writable=all(array is not other for other in told))
