"""Without llvmlite: NumPy runs, and who replaced something faster by it is told so."""

import pytest

from tests.helpers.scripts import run_script

WITHOUT_LLVMLITE = """
    import os, sys
    HIDE
    import numpy as np
    import gpuopt
    w = np.zeros(3, np.float32)
"""
HIDDEN = {
    "not installed": "sys.modules['llvmlite'] = None",
    "not found": """
    class Missing:
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "llvmlite":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Missing)
    """,
    "broken": """
    class Broken:
        def find_spec(name, path=None, target=None):
            if name.partition(".")[0] == "llvmlite":
                raise OSError("Could not find/load shared object file")
    sys.meta_path.insert(0, Broken)
    """,
    "too old": """
    import llvmlite.binding
    llvmlite.binding.llvm_version_info = (15, 0, 7)
    """,
}


def without_llvmlite(how, code):
    return run_script(WITHOUT_LLVMLITE.replace("    HIDE", "    " + HIDDEN[how].strip()) + code)


@pytest.mark.parametrize("how", HIDDEN)
def test_without_llvmlite_numpy_runs(how):
    code = """
    opt = gpuopt.SGD([w], lr=1.0)
    opt.step([np.ones(3, np.float32)])
    print(opt.backend, w.tolist())
    print(gpuopt.explain(w).reasons["cpu"]["llvm"])
    """
    first, why = without_llvmlite(how, code).splitlines()
    assert first == "numpy [-1.0, -1.0, -1.0]"
    assert why.startswith("cannot run here: ")
    assert "gpuopt[cpu]" in why


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("force", ["call", "variable"])
def test_forced_without_llvmlite_is_an_error_that_says_what_to_install(how, force):
    code = f"""
    opt = gpuopt.SGD([w], lr=1.0)
    try:
        if {force!r} == "call":
            gpuopt.use_backend("llvm")
        else:
            os.environ["GPUOPT_BACKEND"] = "llvm"
            opt.step([np.ones(3, np.float32)])
    except gpuopt.BackendError as error:
        print(error)
    os.environ.pop("GPUOPT_BACKEND", None)
    print(w.tolist())
    opt.step([np.ones(3, np.float32)])
    print(w.tolist(), opt.backend)
    """
    said, unchanged, after = without_llvmlite(how, code).splitlines()
    assert said.startswith("backend 'llvm' cannot run here: ")
    assert "gpuopt[cpu]" in said
    assert unchanged == "[0.0, 0.0, 0.0]"
    assert after == "[-1.0, -1.0, -1.0] numpy"


# --- what a drop-in says ---

DROP_IN = """
    import warnings
    import torch
    import gpuopt.torch
    warnings.simplefilter("always")
    def steps(*modules):
        for module in modules:
            w = torch.ones(3, requires_grad=True)
            w.grad = torch.ones(3)
            opt = module.SGD([w], lr=0.5)
            for _ in range(2):
                opt.step() if module is gpuopt.torch else opt.step([w.grad])
"""
SLOW = "tensors on the CPU are updated through NumPy, several times slower: "


def warned(how, code):
    """The warnings of the code, without llvmlite."""
    pytest.importorskip("torch")
    code = f"""{DROP_IN}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        {code}
    for one in caught:
        print(one.category.__name__, one.message)
    """
    return without_llvmlite(how, code).splitlines()


NIGHTLY = [pytest.param(how, marks=pytest.mark.nightly) for how in ("not installed", "broken")]


@pytest.mark.parametrize("how", ["not found", *NIGHTLY])
def test_a_drop_in_without_llvmlite_warns_once_with_what_to_install(how):
    (said,) = warned(how, "steps(gpuopt.torch, gpuopt.torch)")
    assert said.startswith(f"RuntimeWarning {SLOW}")
    assert said.endswith("pip install 'gpuopt[cpu]'")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("not found", "steps(gpuopt)"),
        ("not found", "gpuopt.use_backend('numpy'); steps(gpuopt.torch)"),
        ("not found", "os.environ['GPUOPT_BACKEND'] = 'numpy'; steps(gpuopt.torch)"),
    ],
)
def test_who_wants_numpy_or_replaces_nothing_is_not_warned(how, code):
    assert warned(how, code) == []
