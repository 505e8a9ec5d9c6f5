"""State dicts of bitsandbytes' and torchao's 8-bit optimizers, as their sources make them."""

import copy
import io

import pytest

torch = pytest.importorskip("torch")

import gpuopt  # noqa: E402
import gpuopt.torch as ours  # noqa: E402

SHAPES = ((65, 128), (10,), (4096,))
NAMES = {
    "Adam": ("exp_avg", "exp_avg_sq"),
    "AdamW": ("exp_avg", "exp_avg_sq"),
    "Lion": ("exp_avg",),
    "SGD": ("momentum_buffer",),
    "RMSprop": ("square_avg",),
    "Adagrad": ("sum",),
}


@pytest.fixture(autouse=True)
def nothing_to_compile():
    with gpuopt.use_backend("numpy"):
        yield


def params():
    return [torch.ones(shape, requires_grad=True) for shape in SHAPES]


def theirs(count, block=256, wrapped=True, betas=(0.875, 0.75)):
    """A state dict of bitsandbytes, and the values of each state, computed one by one.

    A tensor of 4,096 elements and more has codes; ``absmax`` is of each block of the flat tensor.
    """
    generator = torch.Generator().manual_seed(0)
    states, values = {}, {}
    for key, shape in enumerate(SHAPES):
        own, size = {}, torch.Size(shape).numel()
        for i in range(1, count + 1):
            if size < 4096:
                own[f"state{i}"] = values[key, i] = torch.rand(shape, generator=generator)
                continue
            codes = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
            qmap = torch.linspace(0, 1, 256)
            absmax = torch.rand(-(-size // block), generator=generator)
            own |= {f"state{i}": codes, f"qmap{i}": qmap, f"absmax{i}": absmax}
            flat = [qmap[c] * absmax[k // block] for k, c in enumerate(codes.reshape(-1).tolist())]
            values[key, i] = torch.stack(flat).view(shape)
        kept = {"step": 7}
        states[key] = {**kept, "__bnb_optimizer_quant_state__": own} if wrapped else {**kept, **own}
    group = {"lr": 0.25, "betas": betas, "eps": 0.5, "weight_decay": 0.125, "initial_lr": 0.5}
    more = {"alpha": 0.0, "t_alpha": None, "t_beta3": None, "params": [0, 1, 2]}
    return {"state": states, "param_groups": [{**group, **more}]}, values


def new(name, **options):
    more = {"momentum": 0.5} if name == "SGD" else {}
    return getattr(ours, name)(params(), lr=1.0, **more, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [256, 2048])
@pytest.mark.parametrize("wrapped", [True, False])
def test_bitsandbytes(name, block, wrapped):
    states = NAMES[name]
    saved, values = theirs(len(states), block, wrapped)
    before = copy.deepcopy(saved)
    opt = new(name, state_dtype="8bit")
    opt.load_state_dict(ours.from_bitsandbytes(saved, opt))
    assert str(saved) == str(before)
    for key, param in enumerate(opt.param_groups[0]["params"]):
        for i, state in enumerate(states, 1):
            assert torch.equal(opt.state[param][state], values[key, i]), (key, state)
        assert int(opt.state[param].get("step", 7)) == 7
    group = opt.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["initial_lr"]) == (0.25, 0.125, 0.5)
    assert group.get("eps", 0.5) == 0.5
    assert group.get("betas", (0.875, 0.75)) == (0.875, 0.75)
    assert group.get("alpha", 0.875) == group.get("momentum" if name == "SGD" else "-", 0.875)
    for param in group["params"]:
        param.grad = torch.ones_like(param)
    opt.step()
    assert all(param.isfinite().all() for param in group["params"])


def spoil(**changes):
    saved, _ = theirs(2, wrapped=False)
    saved["state"][0].update(changes)
    for name in [name for name, value in changes.items() if value is None]:
        del saved["state"][0][name]
    return saved


BAD = {
    "no dict": (lambda: None, TypeError, "expected a dict"),
    "no states": (lambda: {"param_groups": []}, ValueError, "expected 'state'"),
    "of one state": (lambda: theirs(1)[0], ValueError, "expected 'state2', got"),
    "not blockwise": (lambda: spoil(absmax1=None), ValueError, "expected 8 bits with absmax1"),
    "other blocks": (lambda: spoil(absmax2=torch.ones(6)), ValueError, "a factor for each 256"),
    "a short map": (lambda: spoil(qmap1=torch.ones(16)), ValueError, "256 values"),
    "other memory": (
        lambda: spoil(state1=torch.zeros((128, 65), dtype=torch.uint8).T),
        ValueError,
        "expected contiguous codes",
    ),
    "another shape": (
        lambda: spoil(state1=torch.zeros((130, 64), dtype=torch.uint8)),
        ValueError,
        r"expected shape \(65, 128\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_one_is_refused(case):
    make, error, said = BAD[case]
    opt = new("Adam")
    with pytest.raises(error, match=said):
        opt.load_state_dict(ours.from_bitsandbytes(make(), opt))
    assert not opt.state


def test_of_another_optimizer():
    with pytest.raises(ValueError, match="expected one state, got two: of another optimizer"):
        ours.from_bitsandbytes(theirs(2)[0], new("Lion"))
    with pytest.raises(ValueError, match=r"optimizer: expected one of Adam, .*, got Rprop"):
        ours.from_bitsandbytes(theirs(2)[0], ours.Rprop(params()))
    with pytest.raises(TypeError, match=r"optimizer: expected one of gpuopt\.torch, got Adam"):
        ours.from_bitsandbytes(theirs(2)[0], torch.optim.Adam(params()))


class OptimState8bit:
    """What torchao's tensor has, of which `from_torchao` uses two names."""

    def __init__(self, codes, scale, qmap):
        self.codes, self.scale, self.qmap = codes, scale, qmap

    def dequantize(self, output_dtype=None):
        values = self.qmap[self.codes.int()].view(self.scale.shape[0], -1) * self.scale.view(-1, 1)
        return values.view(self.codes.shape).to(output_dtype)


def test_torchao():
    """Its groups have a tensor as lr, and few options."""
    codes = torch.randint(0, 256, (64, 128), dtype=torch.uint8)
    low = OptimState8bit(codes, torch.rand(32), torch.linspace(0, 1, 256))
    state = {"step": torch.tensor(3.0), "exp_avg": low, "exp_avg_sq": low}
    group = {"lr": torch.tensor(0.25), "betas": (0.5, 0.75), "eps": 0.5, "weight_decay": 0.0}
    saved = {"state": {0: state}, "param_groups": [{**group, "amsgrad": False, "params": [0]}]}
    opt = ours.AdamW([torch.ones(64, 128, requires_grad=True)], state_dtype="8bit")
    opt.load_state_dict(ours.from_torchao(saved))
    (param,) = opt.param_groups[0]["params"]
    assert opt.param_groups[0]["lr"] == 0.25
    assert opt.param_groups[0]["decoupled_weight_decay"] is True
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(opt.state[param][name], low.dequantize(torch.float32))
    param.grad = torch.ones_like(param)
    opt.step()
    assert saved["state"][0]["exp_avg"] is low


@pytest.mark.parametrize("name", NAMES)
def test_bitsandbytes_itself(name):
    """What the package saves, and how it reads it."""
    bnb = pytest.importorskip("bitsandbytes")
    given = params()
    momentum = {"momentum": 0.5} if name == "SGD" else {}
    opt = getattr(bnb.optim, f"{name}8bit")(given, lr=0.25, **momentum)
    for i in range(3):
        for p in given:
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(i))
        opt.step()
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    mine = new(name)
    mine.load_state_dict(ours.from_bitsandbytes(torch.load(file), mine))
    held = opt.state[given[0]]
    for i, state in enumerate(NAMES[name], 1):
        code, absmax = held[f"qmap{i}"], held[f"absmax{i}"]
        read = bnb.functional.dequantize_blockwise(
            held[f"state{i}"], absmax=absmax, code=code, blocksize=256
        )
        assert torch.equal(mine.state[mine.param_groups[0]["params"][0]][state], read)
