"""Compiled kernels for the tests: from the user's cache, where they are after a first run."""

import pytest

from gpuopt.inspection.cache import entry_of, read_code
from gpuopt.inspection.cases import Case, dtypes_of
from gpuopt.inspection.compile import compile_cases


def case_of(
    rule="adam", variant="plain", dtype="float32", arch=90, kernel="update", backend="triton"
):
    return Case(backend, kernel, rule, variant, dtypes_of(dtype), arch)


@pytest.fixture(scope="session")
def compiled():
    """A function of `case_of`'s arguments that returns a case and its code."""
    pytest.importorskip("triton")

    def compile_one(**what):
        case = case_of(**what)
        if case.backend == "cupy":
            pytest.importorskip("cuda.bindings.nvrtc")
        (result,) = compile_cases([case])
        assert not result.error
        return case, read_code(entry_of(case))

    return compile_one


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path / "cache"))
