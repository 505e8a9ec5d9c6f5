"""Our optimizer is found inside the frameworks' own, which know its backend, too."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at the import: nothing is to be looked up

torch = pytest.importorskip("torch")

import gpuopt.torch as ours  # noqa: E402

pytestmark = pytest.mark.usefixtures("nothing_to_compile")


def layer():
    return torch.nn.Linear(4, 2)


@pytest.fixture
def accelerator():
    accelerate = pytest.importorskip("accelerate")
    yield accelerate.Accelerator(cpu=True)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


@pytest.fixture
def one_process(tmp_path):
    """A process group of this process alone."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_itself_and_its_scheduler():
    optimizer = ours.AdamW(layer().parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    chained = torch.optim.lr_scheduler.ChainedScheduler([scheduler])
    assert ours.of(optimizer) is ours.of(scheduler) is ours.of(chained) is optimizer


def test_of_accelerate(accelerator):
    optimizer = ours.AdamW(layer().parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    wrapped, of_schedule = accelerator.prepare(optimizer, scheduler)
    assert wrapped is not optimizer
    assert ours.of(wrapped) is ours.of(of_schedule) is optimizer


def test_of_lightning():
    wrappers = pytest.importorskip("pytorch_lightning.core.optimizer")
    optimizer = ours.AdamW(layer().parameters())
    wrapped = wrappers.LightningOptimizer(optimizer)
    assert isinstance(wrapped, ours.AdamW)
    assert ours.of(wrapped) is optimizer
    assert wrapped.backend == "numpy"
    assert wrapped.explain() == optimizer.explain()


def test_of_fabric():
    fabric = pytest.importorskip("lightning_fabric").Fabric(accelerator="cpu", devices=1)
    model = layer()
    optimizer = ours.AdamW(model.parameters())
    _, wrapped = fabric.setup(model, optimizer)
    assert isinstance(wrapped, ours.AdamW)
    assert ours.of(wrapped) is optimizer
    assert wrapped.backend == "numpy"


def test_of_the_trainer_of_hugging_face(tmp_path, accelerator):
    transformers = pytest.importorskip("transformers")
    model = layer()
    optimizer = ours.AdamW(model.parameters())
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    trainer = transformers.Trainer(model, arguments, optimizers=(optimizer, None))
    assert ours.of(trainer) is optimizer


# Importing it compiles functions in a way that is deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated:DeprecationWarning")
def test_of_a_zero_redundancy_optimizer(one_process):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    wrapped = ZeroRedundancyOptimizer(layer().parameters(), ours.AdamW, lr=0.5)
    assert type(ours.of(wrapped)) is ours.AdamW
    assert ours.of(wrapped) is wrapped.optim


def test_an_optimizer_of_torch_is_named(accelerator):
    wrapped = accelerator.prepare(torch.optim.SGD(layer().parameters(), lr=0.5))
    message = r"got accelerate.optimizer.AcceleratedOptimizer around torch.optim.sgd.SGD$"
    with pytest.raises(TypeError, match=message):
        ours.of(wrapped)


@pytest.mark.parametrize("given", [None, 5, torch.nn.Linear(2, 2)], ids=str)
def test_what_holds_no_optimizer_is_refused(given):
    with pytest.raises(TypeError, match=r"wrapper: expected an optimizer of gpuopt\.torch, or"):
        ours.of(given)


class Container:
    """As torchtitan's: an optimizer of each part of the model."""

    def __init__(self, *optimizers):
        self.optimizers = list(optimizers)


def test_several_are_refused():
    optimizer, other = (ours.SGD(layer().parameters()) for _ in range(2))
    assert ours.of(Container(optimizer)) is optimizer
    assert ours.of(Container(optimizer, Container(optimizer))) is optimizer
    with pytest.raises(ValueError, match="wrapper: expected one optimizer inside, got 2: SGD, SGD"):
        ours.of(Container(optimizer, other))


def test_a_wrapper_around_itself_ends():
    own = Container()
    own.optimizers.append(own)
    with pytest.raises(TypeError, match="wrapper: expected"):
        ours.of(own)
