import numpy as np
from sklearn.datasets import load_digits

from gpuopt.demo import data
from gpuopt.demo.data import CLASSES


def rows(*splits):
    """Every image with its label, as a sorted list of bytes."""
    return sorted(
        image.tobytes() + bytes([label])
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )


def test_every_digit_is_either_learned_from_or_tested_on(digits):
    pixels, labels = load_digits(return_X_y=True)
    everything = data.Split((pixels / 16).astype(np.float32), labels)
    assert rows(digits.train, digits.test) == rows(everything)
    assert (len(digits.train), len(digits.test)) == (1437, 360)


def test_images_are_float32_from_0_to_1(digits):
    for split in (digits.train, digits.test):
        assert split.images.dtype == np.float32
        assert split.images.min() == 0
        assert split.images.max() == 1


def test_each_digit_has_the_same_share_of_both_parts(digits):
    train = np.bincount(digits.train.labels, minlength=CLASSES)
    test = np.bincount(digits.test.labels, minlength=CLASSES)
    expected = (train + test) * 360 / 1797
    assert np.abs(test - expected).max() <= 1  # an image cannot be split


def test_the_split_is_always_the_same(digits):
    again = data.load()
    assert (again.train.images == digits.train.images).all()
    assert (again.test.labels == digits.test.labels).all()
