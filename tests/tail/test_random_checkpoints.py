"""Random storages of states and weights: a run that was saved in its middle is the whole run."""

import copy
import io
import random

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as drop_ins  # noqa: E402

SHAPES = ((3000,), (64, 70), (7,), (), (0, 4), (33,), (5000,), (1, 4100))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
STATES = (None, "8bit", "softsign8", "float16", "bfloat16", "float32", "float64")
CLASSES = ("Adam", "SGD", "RMSprop", "Lion", "Adagrad", "Adamax", "NAdam")


def laid_out(draw, values):
    order = draw.randrange(3) if values.dim() > 1 else 0
    if order == 0:
        return values.clone()
    return values.t().contiguous().t() if order == 1 else values.repeat_interleave(2, 1)[:, ::2]


class Case:
    """An optimizer's class and options, its parameters, and their gradients."""

    def __init__(self, seed, api):
        self.seed, self.api, draw = seed, api, random.Random(seed)
        generator = torch.Generator().manual_seed(seed)
        self.start = [
            laid_out(draw, torch.randn(draw.choice(SHAPES), generator=generator)).to(
                draw.choice(DTYPES)
            )
            for _ in range(draw.randrange(2, 5))
        ]
        self.name, self.options = draw.choice(CLASSES), {"lr": 0.01, "seed": draw.randrange(9)}
        self.options |= {"state_dtype": draw.choice(STATES)}
        self.options |= draw.choice([{}, {"min_8bit_size": draw.choice([0, 1, 33])}])
        masters = [{"master_weights": kind} for kind in (False, True, "split16", "split8")]
        others = [{"stochastic_rounding": True}, {"kahan_sum": True}]
        self.options |= draw.choice([*masters, *others])
        self.options |= draw.choice([{}, {"ema_decay": 0.9}, {"clip_norm": 1.0}])
        self.options |= {"momentum": 0.9} if self.name == "SGD" else {}
        self.of_first = draw.choice([{}, {"state_dtype": draw.choice(STATES[:3])}])
        self.steps, self.decoded = draw.randrange(4), draw.random() < 0.4
        self.reads = draw.random() < 0.3

    def new(self, params):
        """An optimizer over copies of parameters, and the copies, in the same memory order."""
        own = [torch.empty_strided(p.shape, p.stride(), dtype=p.dtype) for p in params]
        for mine, theirs in zip(own, params):
            mine.copy_(theirs.detach()).requires_grad_(self.api is drop_ins)
        groups = [{"params": own[:1], **self.of_first}, {"params": own[1:]}]
        return getattr(self.api, self.name)(groups, **self.options), own

    def step(self, optimizer, params, i):
        generator, draw = torch.Generator().manual_seed(1000 * self.seed + i), random.Random(i)
        grads = [torch.randn(p.shape, generator=generator).to(p.dtype) for p in params]
        grads = [None if draw.random() < 0.1 else g for g in grads]
        if self.api is gpuopt:
            return optimizer.step([grads[:1], grads[1:]])
        for param, grad in zip(params, grads):
            param.grad = grad
        return optimizer.step()

    def saved(self, optimizer):
        if self.reads:
            optimizer.state  # noqa: B018
        saved, file = optimizer.state_dict(decoded=self.decoded), io.BytesIO()
        if self.api is gpuopt:
            return copy.deepcopy(saved)
        torch.save(saved, file)
        file.seek(0)
        return torch.load(file, weights_only=True)


def bits(value):
    """Numbers as they are, and floats of 16 bits as their bits, which a NaN is equal to."""
    tensor = torch.as_tensor(value)
    return tensor.contiguous().view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor


@pytest.mark.parametrize("api", [gpuopt, drop_ins])
@pytest.mark.parametrize("first", range(0, 60, 10))
def test_it_goes_on_with_the_same_bits(api, first):
    for seed in range(first, first + 10):
        with gpuopt.use_backend("numpy"):
            case = Case(seed, api)
            whole, params = case.new(case.start)
            for i in range(case.steps):
                case.step(whole, params, i)
            other, twins = case.new(params)
            other.load_state_dict(case.saved(whole))
            third, triplets = case.new(params)
            third.load_state_dict(case.saved(other))
            for i in range(case.steps, case.steps + 3):
                for one, own in ((whole, params), (other, twins), (third, triplets)):
                    case.step(one, own, i)
        expected = whole.state_dict(decoded=True)["state"]
        for one, own in ((other, twins), (third, triplets)):
            for p, q in zip(params, own):
                assert torch.equal(bits(p.detach()), bits(q.detach())), seed
            found = one.state_dict(decoded=True)["state"]
            for key, held in expected.items():
                assert held.keys() == found[key].keys(), seed
                for name, value in held.items():
                    assert torch.equal(bits(value), bits(found[key][name])), (seed, name)
