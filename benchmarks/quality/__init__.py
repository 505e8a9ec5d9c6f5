"""What states in fewer bits do to training: the loss of three tasks, over seeds.

    python -m benchmarks.quality --task transformer --optimizers Adam Lion --json new.json

A digits MLP, a small convolutional network on the same digits, and a character-level transformer
on the text of Python's own help topics are trained with each optimizer and each storage of its
states, from the same weights and over the same batches for each seed. The loss at the end is that
of all training images, or of fixed windows of text that was held out. A storage is "within" if its
median over the seeds lies between float32's best and worst seed, "below" if it is lower still, and
"ABOVE" if it is worse than float32's worst.

`python -m benchmarks.quality.drift` compares the second moment of Adam with peers' over long runs.
"""
