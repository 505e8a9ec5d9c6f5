"""A multilayer perceptron in NumPy: ReLU between the layers, softmax at the end.

With CuPy arrays, NumPy's functions run on the GPU.

The parameters are a flat list of arrays, as optimizers take it: weight and bias of the first
layer, then of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def initialise(sizes: Sequence[int], seed: int, gain: float = 1.0) -> list[Array]:
    """Return weights from N(0, 2 / inputs) and zero biases, in float32 (He et al., 2015).

    Args:
        sizes: neurons of each layer, from the inputs to the classes: (64, 32, 10).
        seed: the seed of the random weights.
        gain: a factor of all weights. In a deep network, gradients vanish below 1, and explode
            above.
    """
    rng = np.random.default_rng(seed)
    params: list[Array] = []
    for fan_in, fan_out in pairwise(sizes):
        weight = rng.standard_normal((fan_in, fan_out)) * gain * np.sqrt(2 / fan_in)
        params += [weight.astype(np.float32), np.zeros(fan_out, np.float32)]
    return params


def by_layer(arrays: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    """Return (weight, bias) of each layer."""
    return zip(arrays[::2], arrays[1::2], strict=True)


def forward(params: Sequence[Array], images: Array) -> list[Array]:
    """Return the inputs of each layer, starting with the images, and the logits."""
    values = [images]
    *hidden, (weight, bias) = by_layer(params)
    for hidden_weight, hidden_bias in hidden:
        values.append(np.maximum(values[-1] @ hidden_weight + hidden_bias, 0))
    return [*values, values[-1] @ weight + bias]


def log_softmax(logits: Array) -> Array:
    """Return log(exp(z) / sum(exp(z))) for each row, without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def cross_entropy(logits: Array, labels: Labels) -> float:
    """Return the mean of -log p(label)."""
    picked = log_softmax(logits)[_rows(labels), labels]
    return float(-picked.mean(dtype=np.float64))


def _rows(labels: Labels) -> Labels:
    return np.arange(len(labels), like=labels)


def accuracy(logits: Array, labels: Labels) -> float:
    """Return the fraction of rows whose largest logit is the label's."""
    return float((logits.argmax(axis=1) == labels).mean())


def backward(params: Sequence[Array], values: Sequence[Array], labels: Labels) -> list[Array]:
    """Return the gradient of the cross-entropy for every parameter, in the order of ``params``.

    Args:
        params: the parameters.
        values: the result of `forward`.
        labels: the class of each row.
    """
    delta = np.exp(log_softmax(values[-1]))
    delta[_rows(labels), labels] -= 1
    delta /= len(labels)
    grads: list[Array] = []
    for value, weight in zip(reversed(values[:-1]), reversed(params[::2]), strict=True):
        grads += [delta.sum(axis=0), value.T @ delta]
        delta = (delta @ weight.T) * (value > 0)
    return grads[::-1]
