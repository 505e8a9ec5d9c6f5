"""What the page on the tail writes to TensorBoard, run as it stands there."""

from pathlib import Path
from unittest import mock

import pytest

torch = pytest.importorskip("torch")

from gpuopt.torch import Adam  # noqa: E402
from tests.tolerances import assert_close  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "tail.md"


def test_the_lines_of_the_page_write_statistics():
    """Of a frozen parameter, an empty one and one that stays zero, too."""
    found = PAGE.read_text(encoding="utf-8").partition("For TensorBoard:")[2]
    lines = found.partition("```python\n")[2].partition("```")[0]
    params = {name: torch.ones(2, requires_grad=True) for name in ("moves", "frozen", "zero")}
    params["empty"] = torch.ones(0, requires_grad=True)
    opt = Adam(params.items(), lr=0.1, stats=True)
    params["zero"].data.zero_()
    for name, param in params.items():
        param.grad = None if name == "frozen" else torch.full_like(param, name != "zero")
    opt.step()
    writer = mock.Mock()
    exec(lines, {"opt": opt, "writer": writer, "step": 1})
    written = {name: value for name, value, _ in (c.args for c in writer.add_scalar.call_args_list)}
    ratios = {name for name in written if name.startswith("update_ratio/")}
    assert ratios == {"update_ratio/moves"}
    assert written["grad_norm/moves"] == 2**0.5
    assert_close(written["update_ratio/moves"], 0.1 / 0.9, "few roundings in float32")
    assert len(written) == len(params) + 1
