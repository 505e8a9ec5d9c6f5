"""A pytest plugin: nothing runs in a process after a CUDA error, which breaks the context for good.

A worker of pytest-xdist ends, and another takes its place; without workers, the session stops.

pytest -p tests.gpu.broken_context --broken-contexts FILE -n 2 --max-worker-restart 200 ...
"""

import os
import re
from pathlib import Path

import pytest

BROKEN = re.compile(
    r"(CUDA error|Triton Error \[CUDA\]): (?!out of memory)"
    r"|cudaError(?!MemoryAllocation)\w+|CUDA_ERROR_(?!OUT_OF_MEMORY)\w+"
)
"""An error after which all calls in the process fail. Too little memory is none."""

EXIT_CODE = 9


def pytest_addoption(parser):
    text = "a file for the errors after which a process ended"
    parser.addoption("--broken-contexts", metavar="FILE", help=text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    text = str(report.longrepr) if report.failed else ""
    if BROKEN.search(text):
        _end(item, call.when, text)
    return report


def _end(item, when, text):
    file = item.config.getoption("--broken-contexts")
    if file is not None:
        with Path(file).open("a", encoding="utf-8") as log:
            log.write(f"==== {item.nodeid} ({when})\n{text[-4000:]}\n")
    if "PYTEST_XDIST_WORKER" in os.environ:
        os._exit(EXIT_CODE)
    item.session.shouldstop = f"{item.nodeid} broke the CUDA context"
