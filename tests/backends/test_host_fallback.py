"""CUDA tensors where no CUDA backend runs: the reference on the host, and one warning."""

import warnings

import pytest

import gpuopt
from gpuopt.engine import dispatch
from gpuopt.engine.dispatch import BACKENDS
from gpuopt.rules.rounding import SEED
from tests.helpers.exact import assert_same_bits
from tests.helpers.optimizers import VARIANTS, arrays, gradients, make
from tests.helpers.stepping import REFERENCE
from tests.helpers.tensors import on, pretend, tensor_of, torch
from tests.helpers.values import DTYPES

SHAPES = ((3, 5), (), (17,), (0, 4), (2, 3, 4), (70_000,))
ON_CUDA = [name for name, backend in BACKENDS.items() if "cuda" in backend.devices]


@pytest.fixture
def no_cuda(monkeypatch):
    """Tensors pass for CUDA tensors, no CUDA backend runs, and nobody has been warned."""
    real, modules = dispatch._problem, [BACKENDS[name].module for name in ON_CUDA]

    def problem(module, install):
        return (
            f"no driver; to install it: {install}" if module in modules else real(module, install)
        )

    pretend(monkeypatch)
    monkeypatch.setattr(dispatch, "_problem", problem)
    dispatch.warn_once.cache_clear()
    yield
    dispatch.warn_once.cache_clear()


def there(array, device="cuda:0"):
    return on(device, tensor_of(array))


def gapped(array):
    """The same values, every other element of a pretended CUDA tensor."""
    wide = tensor_of(array).repeat_interleave(2, -1)
    return on("cuda:0", wide[..., ::2])


def transposed(array):
    return on("cuda:0", tensor_of(array).t().contiguous().t())


def rest(grads, step):
    """The gradients, but one that changes from step to step."""
    return [None if i == step else grad for i, grad in enumerate(grads)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_the_bits_are_the_references(no_cuda, name, options, dtype):
    dtype = DTYPES[dtype]
    params = arrays(0, SHAPES, dtype)
    tensors = [there(param) for param in params]
    optimizer, expected = make(name, tensors, **options), make(name, params, **options)
    for step in range(4):
        grads = gradients(step, SHAPES, dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.step(rest([there(grad) for grad in grads], step))
        with gpuopt.use_backend(REFERENCE):
            expected.step(rest(grads, step))
    for i, (tensor, param) in enumerate(zip(tensors, params)):
        assert_same_bits(tensor, param, f"tensor {i}")
    assert optimizer.state.keys() == expected.state.keys()
    for i, held in expected.state.items():
        assert optimizer.state[i]["step"] == held["step"]
        assert optimizer.state[i].get(SEED) == held.get(SEED)
        for state in held.keys() - {"step", SEED}:
            assert_same_bits(optimizer.state[i][state], held[state], f"tensor {i}, {state}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lay_param", [there, gapped, transposed])
@pytest.mark.parametrize("lay_grad", [there, gapped, transposed])
def test_any_memory_order(no_cuda, lay_param, lay_grad):
    (param,) = arrays(0, [(6, 7)])
    tensor = lay_param(param)
    optimizer, expected = gpuopt.Adam([tensor]), gpuopt.Adam([param])
    for step in range(3):
        (grad,) = gradients(step, [(6, 7)])
        optimizer.step([lay_grad(grad)])
        expected.step([grad])
    assert_same_bits(tensor, param)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_beside_arrays_on_the_host(no_cuda):
    params = arrays(0, [(5,), (6,)])
    mixed = [there(params[0]), params[1].copy()]
    optimizer, expected = gpuopt.Adam(mixed), gpuopt.Adam(params)
    for step in range(2):
        grads = gradients(step, [(5,), (6,)])
        optimizer.step([there(grads[0]), grads[1]])
        expected.step(grads)
    for actual, param in zip(mixed, params):
        assert_same_bits(actual, param)


def test_one_warning_says_what_to_install(no_cuda):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            params = arrays(0)
            optimizer = gpuopt.Adam([there(param) for param in params])
            for step in range(3):
                optimizer.step([there(grad) for grad in gradients(step)])
            assert optimizer.backend == REFERENCE
    (warning,) = caught
    assert warning.category is RuntimeWarning
    said = str(warning.message)
    assert said.startswith("arrays on cuda:0 are updated on the host, slowly: ")
    for name in ON_CUDA:
        assert f"{name}: no driver; to install it: {BACKENDS[name].install}" in said


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_explain_says_that_it_is_slow_and_what_to_install(no_cuda):
    tensor = there(arrays(0)[0])
    explanation = gpuopt.explain(tensor)
    assert explanation == gpuopt.SGD([tensor], lr=1.0).explain()
    assert explanation.chosen == {"cuda:0": REFERENCE}
    reasons = explanation.reasons["cuda:0"]
    assert reasons[REFERENCE].startswith("computed on the host, slowly: ")
    for name in ON_CUDA:
        assert BACKENDS[name].install in reasons[REFERENCE]
        assert reasons[name] == f"cannot run here: {BACKENDS[name].problem()}"
    assert reasons["llvm"] == "takes arrays on cpu only"


@pytest.mark.parametrize("name", ["numpy", "llvm"])
def test_a_backend_of_the_host_cannot_be_forced_on_them(no_cuda, name):
    if BACKENDS[name].problem():
        pytest.skip(f"backend {name}: {BACKENDS[name].problem()}")
    tensor = there(arrays(0)[0])
    optimizer = gpuopt.SGD([tensor], lr=1.0)
    before = tensor.clone()
    with gpuopt.use_backend(name), pytest.raises(gpuopt.BackendError, match="not on cuda:0"):
        optimizer.step([there(arrays(1)[0])])
    assert torch.equal(tensor, before)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_codes_come_back_with_the_scales_of_their_blocks(no_cuda):
    (param,) = arrays(0, [(70, 100)])
    tensor, options = there(param), {"state_dtype": "8bit", "min_8bit_size": 1}
    optimizer, expected = gpuopt.Adam([tensor], **options), gpuopt.Adam([param], **options)
    for step in range(3):
        (grad,) = gradients(step, [(70, 100)])
        optimizer.step([there(grad)])
        with gpuopt.use_backend(REFERENCE):
            expected.step([grad])
    assert_same_bits(tensor, param)
    for name, state in expected.state[0].items():
        if name != "step" and name != SEED:
            assert_same_bits(optimizer.state[0][name], state, name)
