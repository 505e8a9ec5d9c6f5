"""torch tensors on the simulated devices, and what torch does with them.

The memory is the host's, so torch's own kernels compute; a tensor says that it lies on a device,
and every operation on it goes to the current stream of that device, and is done later.
"""

import torch
from torch.utils._pytree import tree_leaves, tree_map

from .blocks import PINNED, Place
from .machine import active
from .order import Event

_READ_BY_HOST = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero")
_EMPTY = ("aten::empty_like", "aten::new_empty", "aten::new_empty_strided")
_ABOUT_THE_PLACE = ("device", "layout", "pin_memory")


class DeviceTensor(torch.Tensor):
    """A tensor on a simulated device.

    Attributes:
        inner: the same memory as a tensor on the host.
        number: of the device.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner, number):
        """Say that a tensor over the memory of a device lies there."""
        self = torch.Tensor._make_subclass(cls, inner, False)
        self.inner, self.number = inner.detach(), number
        return self

    @property
    def device(self):
        """The device."""
        return torch.device("cuda", self.number)

    @property
    def is_cuda(self):
        """Always true."""
        return True

    def cpu(self):
        """Return a copy on the host; waits for the stream."""
        return self.to("cpu")

    def tolist(self):
        """Return its values; waits."""
        return self.cpu().tolist()

    def to(self, *arguments, **options):
        """Return it or a copy, as torch does."""
        copy = options.pop("copy", False)
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*arguments, **options)
        device, dtype = device or self.device, dtype or self.dtype
        if device.type == "cuda":
            same = number_of(device) == self.number and dtype == self.dtype and not copy
            return self if same else copied(self, number_of(device), dtype, non_blocking)
        return _copy(torch.empty_like(self.inner, dtype=dtype), self, non_blocking)

    def record_stream(self, stream):
        """Tell the allocator that a stream uses its memory."""
        block = active().blocks.at(self.data_ptr())
        if block is not None and stream.real is not block.stream:
            block.recorded[stream.real] = stream.real.clock

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), options=None):
        """Enqueue an operation, unless it is a view."""
        options, schema = dict(options or {}), function._schema
        if schema.name == "aten::copy_":
            return _copy(*arguments, **options)
        alias = schema.returns[0].alias_info if schema.returns else None
        view = alias is not None and not alias.is_write
        if not (view or schema.name in _READ_BY_HOST):
            return _computed(function, arguments, options)
        ours = [value for value in arguments if _is_ours(value)]
        if not view:
            for tensor in ours:
                active().wait_for(_stream(tensor.number))
        made = function(*tree_map(_bare, arguments), **options)
        return tree_map(lambda t: DeviceTensor(t, ours[0].number), made) if view else made


def number_of(device):
    """Return the number of a device of torch."""
    index = torch.device(device).index
    return active().device if index is None else index


def _stream(number):
    return active().current_stream("torch", number)


def _is_ours(value):
    return isinstance(value, DeviceTensor)


def _bare(value):
    return value.inner if _is_ours(value) else value


class _Place(Place):
    """Where a tensor lies."""

    def __init__(self, tensor):
        item = tensor.element_size()
        strides = [stride * item for stride in tensor.stride()]
        super().__init__(tensor.data_ptr(), tensor.shape, strides, item)
        self._dtype, self._layout = tensor.dtype, (tuple(tensor.shape), tensor.stride())

    def tensor(self):
        """Return a tensor there."""
        return _over(self.bytes() if self.reach else (), self._dtype, *self._layout)


# --- new tensors ---------------------------------------------------------------------------------


def _over(owner, dtype, shape, stride):
    """Return a tensor over bytes, which it keeps alive."""
    if not len(owner):
        return torch.empty_strided(shape, stride, dtype=dtype)
    return torch.from_numpy(owner).view(dtype).as_strided(shape, stride)


def _allocated(like, number):
    """Return a tensor in new memory of a device, with the layout of another."""
    _, owner = active().allocate(_Place(like).reach, _stream(number))
    return DeviceTensor(_over(owner, like.dtype, like.shape, like.stride()), number)


def pinned(like):
    """Return a tensor in new pinned memory, with the layout of another."""
    _, owner = active().allocate(_Place(like).reach, device=PINNED)
    return _over(owner, like.dtype, like.shape, like.stride())


def of_memory(owner, number):
    """Return a tensor over the memory of a device, given as a NumPy array of the host."""
    return DeviceTensor(torch.from_numpy(owner), number)


def filled(values, number):
    """Return a tensor on a device with the values of one of the host, computed there."""
    made, values = _allocated(values, number), values.clone()
    _enqueue("a fill", _stream(number), lambda _, to: to[0].copy_(values), [], [_Place(made)])
    return made


def copied(tensor, number, dtype=None, non_blocking=False):
    """Return a copy on a device."""
    made = _allocated(torch.empty_like(_bare(tensor), dtype=dtype or tensor.dtype), number)
    return _copy(made, tensor, non_blocking)


# --- work ----------------------------------------------------------------------------------------


def _enqueue(name, stream, run, reads, writes, peer=None):
    """Enqueue a function of the tensors that lie at places where it reads and writes."""

    def do(work):
        run([place.tensor() for place in reads], [place.tensor() for place in writes])
        return [s for p in reads for s in p.spans()], [s for p in writes for s in p.spans()]

    active().enqueue(name, stream, do, peer=peer)


def _copy(target, source, non_blocking=False):
    """Copy as torch does: it waits unless it is told not to, and always with pageable memory."""
    if _is_ours(target) and _is_ours(source):
        return _copy_on_devices(target, source)
    to_device = _is_ours(target)
    ours, host = (target, source) if to_device else (source, target)
    stream, block = _stream(ours.number), active().blocks.at(host.data_ptr())
    waits = not non_blocking or block is None
    if waits and stream.graph is not None:
        active().wait_for(stream)  # which raises
    given = source.detach().clone() if block is None else None
    result = _bare(target).detach()
    reads = [_Place(source)] if block is not None or not to_device else []
    writes = [_Place(target)] if block is not None or to_device else []

    def run(sources, targets):
        (targets[0] if targets else result).copy_(sources[0] if sources else given)

    _enqueue(f"a copy of {_name(source)}", stream, run, reads, writes)
    if block is not None and stream.graph is None:
        block.recorded[stream] = stream.clock
    if waits:
        active().wait_for(stream)
    return target


def _copy_on_devices(target, source):
    """Copy in the stream of the source; the target's waits for it, and it for the target's."""
    here, there = _stream(source.number), _stream(target.number)
    if here is not there:
        _let_wait(here, there)
    name, places = f"a copy of {_name(source)}", ([_Place(source)], [_Place(target)])
    _enqueue(name, here, lambda of, to: to[0].copy_(of[0]), *places, peer=target.number)
    if here is not there:
        _let_wait(there, here)
    return target


def _let_wait(stream, other):
    event = Event()
    active().record(event, other)
    active().wait(stream, event)


def _name(tensor):
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _computed(function, arguments, options):
    """Enqueue what computes new tensors, or changes some."""
    schema = function._schema
    options = {k: v for k, v in options.items() if k not in _ABOUT_THE_PLACE}
    names = [argument.name for argument in schema.arguments]
    written = {a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write}
    given = {**dict(zip(names, arguments)), **options}
    tensors = [t for t in tree_leaves(given) if isinstance(t, torch.Tensor)]
    numbers = {t.number for t in tensors if _is_ours(t)}
    if len(numbers) > 1 or any(t.dim() for t in tensors if not _is_ours(t)):
        raise RuntimeError(f"{schema.name}: expected all tensors to be on the same device")
    (number,) = numbers
    held = tree_map(_held, (arguments, options))
    changed = [t for name in written for t in tree_leaves(given[name]) if _is_ours(t)]
    results = None
    if not written:
        meta_arguments, meta_options = tree_map(_meta, (arguments, options))
        results = function(*meta_arguments, **meta_options)
        results = tree_map(lambda like: _allocated(like, number), results)
        changed = tree_leaves(results)

    def run(_, targets):
        values, named = tree_map(_tensor_of, held)
        found = function(*values, **named)
        for target, result in zip(targets, () if written else tree_leaves(found)):
            target.copy_(result)

    if schema.name not in _EMPTY:
        reads = [place for place in tree_leaves(held) if isinstance(place, _Place)]
        name = schema.name.removeprefix("aten::")
        _enqueue(name, _stream(number), run, reads, list(map(_Place, changed)))
    if not written:
        return results
    return given[next(filter(written.__contains__, names))] if schema.returns else None


def _held(value):
    """Return the place of a tensor, or a copy where it is the host's."""
    if _is_ours(value):
        return _Place(value)
    return value.clone() if isinstance(value, torch.Tensor) else value


def _tensor_of(value):
    return value.tensor() if isinstance(value, _Place) else value


def _meta(value):
    return _bare(value).to("meta") if isinstance(value, torch.Tensor) else value
