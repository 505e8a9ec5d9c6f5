"""Rules that add up over tensors, whose kernels hand sums to each other, on the machine."""

import gc

import numpy as np
import pytest

import gpuopt

from .test_steps import CLIPPED, Twins, check_replays_between_steps, drawn

RULES = {
    "LAMB": {"lr": 0.1, "weight_decay": 0.1},
    "DAdaptAdam": {"d0": 0.01},
    "Prodigy": {"d0": 0.01},
    "Prodigy, one pass": {"d0": 0.01, "one_pass": True},
}


@pytest.fixture(params=RULES)
def make(request):
    """Return a function that makes an optimizer."""
    kind = getattr(gpuopt, request.param.partition(",")[0])
    return lambda params, **more: kind(params, **RULES[request.param], **more)


class Growing(Twins):
    """Twins whose gradients are of one sign, so that an estimate grows."""

    @staticmethod
    def drawn(seed):
        """Return the values of a seed."""
        return [np.abs(array) if seed else array for array in drawn(seed)]

    def check(self):
        """Compare the estimate, too: each side adds up in an order of its own."""
        super().check()
        if hasattr(self.twin, "d"):
            assert self.optimizer.d == pytest.approx(self.twin.d, rel=1e-12)
            assert self.twin.d > 1.2 * self.twin.d0


def in_streams(library, seeds):
    """Yield each in a stream that waits for the one before."""
    library.synchronize()
    streams = [library.stream() for _ in range(2)]
    for seed in seeds:
        stream, before = streams[seed % 2], streams[(seed - 1) % 2]
        library.wait(stream, before)
        with library.inside(stream):
            yield seed
    library.wait(library.current(), stream)


@pytest.mark.parametrize("options", [{}, CLIPPED], ids=["plain", "clipped"])
def test_steps_in_one_stream_after_the_other(library, make, options):
    twins = Growing(library, make, **options)
    for seed in in_streams(library, range(1, 6)):
        twins.step(seed, without=(1,) if seed == 3 else ())
        if seed == 4:
            twins.optimizer.load_state_dict(twins.optimizer.state_dict())
    twins.check()


@pytest.mark.parametrize("library", ["torch", "torch-by-cupy"], indirect=True)
def test_an_optimizer_that_is_dropped_while_another_stream_works(library, make):
    """The states of CuPy's arrays are in its pool, which does not ask which streams use them."""
    twins = Growing(library, make)
    for seed in in_streams(library, (1, 2)):
        twins.step(seed)
        if seed == 2:
            twins.optimizer = None
            gc.collect()
    twins.check_arrays()


def test_replays_between_ordinary_steps(library, make):
    check_replays_between_steps(library, Growing(library, make))


def test_two_devices(library, make):
    twins = Growing(library, make, devices=(1, 0, 1))
    for seed in range(1, 4):
        twins.step(seed)
    twins.check()
