"""Results of real training in no time."""

import gpuopt
from gpuopt.demo.comparison import Settings, run_all
from tests.helpers.backends import REFERENCE


def run_quickly(trials, digits, epochs=1):
    """Run the trials on the backend that has nothing to compile."""
    with gpuopt.use_backend(REFERENCE):
        return list(run_all(trials, digits, Settings(epochs=epochs)))
