"""What the tests of the drop-ins share."""

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402


@pytest.fixture
def nothing_to_compile():
    """All backends give the same bits; this one starts at once."""
    with gpuopt.use_backend("numpy"):
        yield


@pytest.fixture
def one_thread():
    """For models so small that their threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def float64_everywhere():
    """torch counts steps, and keeps NAdam's and ASGD's numbers, in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
