"""Mutants of the demo: training, comparison, tables, command line."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the gradient is that of the sum of losses",
        "gpuopt/demo/mlp.py",
        "    delta /= len(labels)\n",
        "",
        "tests/demo/test_mlp.py -k slopes",
    ),
    Mutant(
        "training goes on for one epoch more",
        "gpuopt/demo/training.py",
        "while epoch.number < epochs and epoch.finite:",
        "while epoch.number <= epochs and epoch.finite:",
        "tests/demo/test_training.py tests/demo/test_comparison.py -k 'epoch'",
    ),
    Mutant(
        "the last, smaller batch is left out",
        "gpuopt/demo/training.py",
        "for start in range(0, len(order), batch_size):",
        "for start in range(0, len(order) - batch_size + 1, batch_size):",
        "tests/demo/test_training.py -k batches",
    ),
    Mutant(
        "the lowest accuracy is the best",
        "gpuopt/demo/tables.py",
        "cells([epoch.test_accuracy for epoch in final], percent, -1)",
        "cells([epoch.test_accuracy for epoch in final], percent, 1)",
        "tests/demo/test_tables.py -k best_of_each_column",
    ),
    Mutant(
        "the best of a curve may have diverged",
        "gpuopt/demo/sweep.py",
        "(result for result in self.results if not result.diverged),",
        "(result for result in self.results),",
        "tests/demo/test_sweep.py",
    ),
    Mutant(
        "an accuracy that is just reached does not count",
        "gpuopt/demo/comparison.py",
        "if epoch.test_accuracy >= accuracy)",
        "if epoch.test_accuracy > accuracy)",
        "tests/demo/test_comparison.py -k first_that_reaches_it",
    ),
    Mutant(
        "compare does not pass --stats on",
        "gpuopt/demo/commands.py",
        "settings=settings(seed, epochs, batch_size, stats),",
        "settings=settings(seed, epochs, batch_size),",
        "tests/demo/test_cli.py -k last_steps",
    ),
)
