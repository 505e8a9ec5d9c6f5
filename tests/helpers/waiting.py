"""Steps that must not wait for the device."""

import warnings
from contextlib import contextmanager


@contextmanager
def no_waiting(torch):
    """Make every call that waits for the device an error inside the block, and none behind it."""
    before = torch.cuda.get_sync_debug_mode()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
