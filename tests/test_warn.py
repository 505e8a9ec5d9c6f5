"""Warnings name the line of the user that they are about."""

import numpy as np
import pytest

import gpuopt


def lines_of(found):
    return {warning.filename for warning in found}


def test_a_load_is_warned_of_where_it_stands():
    weights = [np.ones(3, np.float32)]
    averaged = gpuopt.SGD(weights, lr=0.5, ema_decay=0.5)
    averaged.step([np.ones(3, np.float32)])
    with pytest.warns(RuntimeWarning, match="ema_decay is not in use here") as found:
        gpuopt.SGD([np.ones(3, np.float32)], lr=0.5).load_state_dict(averaged.state_dict())
    assert lines_of(found) == {__file__}


def test_a_misspelt_option_is_warned_of_where_the_optimizer_is_made():
    torch = pytest.importorskip("torch")
    import gpuopt.torch

    params = [torch.nn.Parameter(torch.ones(3))]
    with pytest.warns(UserWarning, match="is 'weight_decay' meant") as found:
        gpuopt.torch.AdamW([{"params": params, "weight_decy": 0.1}])
    assert lines_of(found) == {__file__}
    optimizer = gpuopt.torch.AdamW(params)
    optimizer.param_groups[0]["weight_decy"] = 0.1
    params[0].grad = torch.ones(3)
    with pytest.warns(UserWarning, match="is 'weight_decay' meant") as found:
        optimizer.step()
    assert lines_of(found) == {__file__}
