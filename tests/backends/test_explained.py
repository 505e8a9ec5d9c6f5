"""Every backend is named by the launches that it runs."""

import numpy as np

import gpuopt


def test_a_launch_names_its_backend(any_backend):
    params = [np.ones(5, np.float32), np.ones(300, np.float32), np.ones(8, np.float32)[::2]]
    with gpuopt.use_backend(any_backend):
        opt = gpuopt.Adam(params, clip_norm=1.0)
        opt.step([np.ones(p.shape, np.float32) for p in params])
        found, named = opt.explain(), opt.backend
    assert found.chosen == {"cpu": any_backend}
    assert {each.backend for each in found.launched} == set(named.split("+"))
    assert sum(each.elements for each in found.launched) == 309
    assert {each.bytes_per_element for each in found.launched} == {32.0}
    assert any(each.strided for each in found.launched)
    assert all(each.launches == 1 for each in found.launched if each.backend != "numpy")
