"""What the tests of the drop-ins share."""

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def float64_everywhere():
    """torch counts steps, and keeps NAdam's and ASGD's numbers, in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
