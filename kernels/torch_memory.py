"""Device memory through torch: values that follow the host's without anyone waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def upload(values: npt.NDArray[Any], device: str) -> torch.Tensor:
    """Return a device copy of ``values``."""
    return torch.from_numpy(np.array(values)).to(device)


class Mailbox:
    """A device tensor that the host rewrites now and then.

    Values go through pinned memory, so the copy is part of the stream and the host goes on at
    once. torch's allocator hands a pinned block out again only after the copies from it are
    done. While a graph is captured no block can be asked for: one is kept ready, and belongs
    to the graph afterwards, which copies from it at every replay.
    """

    def __init__(self, values: npt.NDArray[Any], device: str) -> None:
        """Copy ``values`` to the device."""
        self.tensor = upload(values, device)
        self._pinned = self.tensor.is_cuda
        self._kept: list[torch.Tensor] = []
        self._ready = self._new_block() if self._pinned else None

    def send(self, values: npt.NDArray[Any]) -> None:
        """Make the device tensor hold ``values``, in the order of the current stream."""
        source = torch.from_numpy(values)
        if not self._pinned:
            self.tensor.copy_(source)
            return
        block = self._block().copy_(source)
        self.tensor.copy_(block, non_blocking=True)

    def _new_block(self) -> torch.Tensor:
        return torch.empty(self.tensor.shape, dtype=self.tensor.dtype, pin_memory=True)

    def _block(self) -> torch.Tensor:
        if not torch.cuda.is_current_stream_capturing():
            if self._ready is None:
                self._ready = self._new_block()
            return self._new_block()
        if self._ready is None:
            raise RuntimeError(
                "gradients moved twice while graphs were captured: take one ordinary step between"
            )
        block, self._ready = self._ready, None
        self._kept.append(block)
        return block
