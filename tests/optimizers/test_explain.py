"""What an optimizer says of its backends and launches, in both APIs."""

import re

import numpy as np
import pytest

import gpuopt

SIZES = {"small": 5, "large": 5000, "gap": 7}
FLOAT32 = ("params", "grads", "exp_avg", "exp_avg_sq")


class Arrays:
    """An optimizer over plain arrays."""

    def __init__(self, name, **options):
        self.params = {n: np.ones(size, np.float32) for n, size in SIZES.items()}
        self.params["gap"] = np.ones(14, np.float32)[::2]
        self.opt = getattr(gpuopt, name)(self.params, **options)

    def step(self):
        self.opt.step({n: np.ones(size, np.float32) for n, size in SIZES.items()})


class DropIn:
    """The same as a drop-in."""

    def __init__(self, name, **options):
        torch = pytest.importorskip("torch")
        import gpuopt.torch

        self.params = {n: torch.ones(size, requires_grad=True) for n, size in SIZES.items()}
        self.params["gap"] = torch.ones(14)[::2].requires_grad_()
        self.opt = getattr(gpuopt.torch, name)(list(self.params.items()), **options)

    def step(self):
        for p in self.params.values():
            p.grad = p.detach() * 0 + 1
        self.opt.step()


@pytest.fixture(params=[Arrays, DropIn])
def make(request):
    return request.param


def quoted(names):
    """Names as both APIs show them."""
    return sorted(re.sub(r"^params\['(.*)'\]$", r"\1", name) for name in names)


def test_before_a_step_it_says_who_and_why(make, backend):
    opt = make("Adam").opt
    assert opt.backend == backend
    assert opt.explain().chosen == {"cpu": backend}
    assert opt.explain().launched == ()
    assert opt.explain() == gpuopt.explain(np.ones(1))


def test_after_a_step_it_says_what(make):
    with gpuopt.use_backend("numpy"):
        run = make("Adam")
        run.step()
        plain, gap = run.opt.explain().launched
    assert (plain.backend, plain.device, plain.update) == ("numpy", "cpu", "adam")
    assert (plain.launches, plain.elements, plain.strided) == (2, 5005, False)
    assert (gap.launches, gap.elements, gap.strided) == (1, 7, True)
    assert quoted(plain.arrays) == ["large", "small"]
    assert quoted(gap.arrays) == ["gap"]
    assert plain.dtypes == dict.fromkeys(FLOAT32, "float32")
    assert plain.passes == {"the update": 28.0}
    assert str(gap).endswith("28 bytes an element; with gaps, or of several memory orders")


def test_the_table_is_one_launch(make):
    pytest.importorskip("llvmlite")
    with gpuopt.use_backend("llvm"):
        run = make("SGD", lr=0.5)
        run.step()
        assert run.opt.backend == "llvm+numpy"
        of_table, of_numpy = run.opt.explain().launched
    assert (of_table.backend, of_table.launches, of_table.elements) == ("llvm", 1, 5005)
    assert (of_numpy.backend, of_numpy.strided) == ("numpy", True)


@pytest.mark.parametrize(
    ("name", "options", "passes"),
    [
        ("Adam", {"clip_norm": 1.0}, {"the norm": 4.0, "the update": 28.0}),
        ("LAMB", {}, {"sums of each array": 16.0, "the update": 28.0}),
        ("Adam", {"state_dtype": "bfloat16"}, {"the update": 20.0}),
    ],
)
def test_all_passes_and_their_bytes(make, name, options, passes):
    with gpuopt.use_backend("numpy"):
        run = make(name, **options)
        run.step()
        found = run.opt.explain().launched[0]
    assert found.passes == passes
    assert found.bytes_per_element == sum(passes.values())
    assert f"{sum(passes.values()):g} bytes an element" in str(found)


def test_arrays_of_other_formats_stand_apart(make):
    with gpuopt.use_backend("numpy"):
        run = make("AdamW", state_dtype="8bit", min_8bit_size=1000)
        run.step()
        found = {of.elements: of for of in run.opt.explain().launched}
    assert found[5].dtypes["exp_avg"] == "float32"
    assert found[5000].dtypes["exp_avg"] == "int8"
    assert found[5000].bytes_per_element == 16.5


def test_the_text_has_a_line_for_each(make):
    with gpuopt.use_backend("numpy"):
        run = make("Adam", lr=0.5)
        run.step()
        lines = str(run.opt.explain()).splitlines()
    assert lines[0] == "arrays on cpu: numpy"
    assert lines[-2].startswith("numpy on cpu, 2 launches: adam of 2 arrays (")
    assert lines[-1].startswith("numpy on cpu, 1 launch: adam of 1 array (")


def test_a_rule_of_ones_own_has_them_too():
    torch = pytest.importorskip("torch")
    import gpuopt.torch

    with gpuopt.use_backend("numpy"):
        w = torch.ones(3, requires_grad=True)
        opt = gpuopt.torch.Optimizer([w], rule="momentum", lr=0.5)
        w.grad = torch.ones(3)
        opt.step()
        assert opt.backend == "numpy"
        assert opt.explain().launched[0].bytes_per_element == 20.0
