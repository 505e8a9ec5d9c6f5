"""The handwritten digits that come with scikit-learn: real data, no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLASSES = 10
TEST_IMAGES = 360
LARGEST_PIXEL = 16.0


@dataclass(frozen=True)
class Split:
    """Images, one row of 64 pixels in [0, 1] each, and their labels."""

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Digits:
    """The training data and the test data."""

    train: Split
    test: Split


def load() -> Digits:
    """Load the digits in a fixed, stratified split: 1437 for training, 360 for testing.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / LARGEST_PIXEL).astype(np.float32)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels.astype(np.int64), test_size=TEST_IMAGES, stratify=labels, random_state=0
    )
    return Digits(Split(train_images, train_labels), Split(test_images, test_labels))
