"""The effect of low-precision states on training: the losses of three tasks, over seeds.

    python -m benchmarks.quality --task transformer --optimizers Adam Lion --json new.json

A digits MLP, a small convolutional network on the same digits, and a character-level transformer on
the text of Python's own help topics are trained with each optimizer and each storage of its states,
from the same weights and over the same batches for each seed. The final loss is over all training
images, or over fixed windows of held-out text. A storage is "within" if its median over the seeds
is between float32's best and worst seed, "below" if it is lower, and "ABOVE" if it is higher.

`python -m benchmarks.quality.drift` compares Adam's second moment with peers' over long runs.
"""
