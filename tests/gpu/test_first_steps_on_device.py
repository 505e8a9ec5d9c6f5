"""The first steps of a process, in which everything is compiled and loaded."""

import pytest

from tests.gpu.arrays import BACKENDS
from tests.helpers.scripts import run_script


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_that_compile_one_rule_at_once(device, backend, tmp_path):
    caches = {name: str(tmp_path) for name in ("CUPY_CACHE_DIR", "TRITON_CACHE_DIR")}
    script = f"""
        from concurrent.futures import ThreadPoolExecutor
        import torch
        import gpuopt

        def trained(number):
            param, grad = (torch.ones(9000, device={device!r}) for _ in range(2))
            gpuopt.RMSProp([param], centered=True, momentum=0.25).step([grad])
            return param.cpu()

        with gpuopt.use_backend({backend!r}), ThreadPoolExecutor(8) as threads:
            first, *others = threads.map(trained, range(8))
        assert all(first.equal(other) for other in others) and not first.equal(torch.ones(9000))
        print("equal")
    """
    assert run_script(script, quiet=False, **caches) == "equal\n"
