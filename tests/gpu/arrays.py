"""Optimizers and values for the tests on a device, and how results are compared."""

import numpy as np

import gpuopt
from tests.helpers.exact import assert_same_bits
from tests.helpers.values import values

BACKENDS = ("triton", "cupy")
OPTIMIZERS = {
    "sgd": lambda params: gpuopt.SGD(params, lr=0.1),
    "momentum": lambda params: gpuopt.Momentum(params, lr=0.1, nesterov=True),
    "rmsprop": lambda params: gpuopt.RMSProp(params, centered=True, momentum=0.5),
    "adam": lambda params: gpuopt.Adam(params, weight_decay=0.1),
    "amsgrad": lambda params: gpuopt.Adam(params, amsgrad=True, maximize=True),
    "adamw": lambda params: gpuopt.AdamW(params),
    "adagrad": lambda params: gpuopt.Adagrad(params, lr_decay=0.1),
}
SIZES = (0, 1, 7, 64, 8191, 8192, 8193, 100_003)
KINDS = ("ordinary", "mixed", "denormal", "huge")


def host_arrays(seed, dtype="float32"):
    """Return NumPy arrays of all sizes, with NaN, infinities and denormals."""
    made = [values(KINDS[n % 4], (n,), "float32", seed) for n in SIZES]
    with np.errstate(over="ignore"):
        return [array.astype(dtype) for array in made]


def tensors(torch, seed, dtype="float32", device="cpu"):
    """Return tensors with the values of `host_arrays`."""
    made = [torch.from_numpy(array) for array in host_arrays(seed)]
    return [t.to(getattr(torch, dtype)).to(device) for t in made]


def there(cupy, arrays):
    """Return copies on CuPy's device."""
    return [cupy.asarray(array) for array in arrays]


def assert_equal(actual, expected):
    """Fail unless tensors have the same bits."""
    for a, b in zip(actual, expected):
        assert_same_bits(a.float().cpu().numpy(), b.float().cpu().numpy())


def assert_same(cupy, actual, expected):
    """Fail unless CuPy's arrays have the bits of NumPy's."""
    for mine, theirs in zip(actual, expected):
        assert_same_bits(cupy.asnumpy(mine), theirs)
