"""Make torch.optim's classes create drop-ins, for scripts that hard-code them.

The names are not replaced, only what calling a class creates. So it does not matter how or when a
script imported a class; ``isinstance``, ``issubclass`` and pickles, which depend on the class, work
as before; and subclasses of torch's classes stay torch's.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

import torch

from ..messages.suggest import did_you_mean
from . import classes
from .fused import Fused

_LOCK = Lock()

_installed: dict[type, type[Fused]] = {}
"""The replaced classes of torch, and the drop-in of each."""

_KNOWN: dict[str, type[Fused]] = {
    name: getattr(classes, name)
    for name in classes.__all__
    if name != "Optimizer" and hasattr(torch.optim, name)
}
"""The drop-ins of optimizers that torch.optim also has."""


def install(names: Iterable[str] | None = None) -> list[str]:
    """Make torch.optim's classes create drop-ins: from now on ``torch.optim.AdamW(...)`` is ours.

    This affects ``torch.optim.AdamW``, and names imported by ``from torch.optim import AdamW`` or
    ``from torch.optim.adamw import AdamW``, before or after, in the whole process; the calls also
    accept the drop-in's own options (``clip_norm=1.0``). Unaffected are existing, copied and
    unpickled optimizers, subclasses of torch's classes, and ``differentiable=True``, which drop-ins
    reject. The drop-ins derive from torch's classes, so ``isinstance(opt, torch.optim.AdamW)`` is
    true for both, but ``type(opt) is torch.optim.AdamW`` is false for a drop-in.

    ``logging.getLogger("gpuopt")`` logs the replaced classes once per job.

    Args:
        names: names of torch.optim's classes; None for all that gpuopt has.

    Returns:
        The names of the newly replaced classes.

    Raises:
        TypeError, ValueError: a name is not a string, or not that of such a class; nothing has
                been changed.

    >>> import gpuopt.torch, torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> installed = gpuopt.torch.install(["SGD"])
    >>> opt = torch.optim.SGD([w], lr=0.5)
    >>> gpuopt.torch.uninstall()
    >>> isinstance(opt, gpuopt.torch.SGD), isinstance(torch.optim.SGD([w]), gpuopt.torch.SGD)
    (True, False)
    """
    chosen = list(_KNOWN) if names is None else _checked(names)
    with _LOCK:
        new = sorted({name for name in chosen if getattr(torch.optim, name) not in _installed})
        for name in new:
            theirs = getattr(torch.optim, name)
            if "__new__" not in vars(theirs):
                theirs.__new__ = _constructor_of(theirs)
            _installed[theirs] = _KNOWN[name]
    if new:
        level = logging.WARNING if os.environ.get("RANK", "0") == "0" else logging.INFO
        text = "gpuopt.torch.install: torch.optim's %s make drop-ins of gpuopt.torch"
        logging.getLogger("gpuopt").log(level, text, ", ".join(new))
    return new


def uninstall() -> None:
    """Make torch.optim's classes create torch's optimizers again; drop-ins stay drop-ins."""
    with _LOCK:
        _installed.clear()


def _checked(names: Iterable[str]) -> list[str]:
    given: Any = names
    known = f"expected names of {', '.join(_KNOWN)}"
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"names: {known} in a list, got {given!r:.80}")
    listed: list[Any] = list(given)
    for name in listed:
        if not isinstance(name, str):
            raise TypeError(f"names: {known}, got {name!r:.80}")
        if name not in _KNOWN:
            raise ValueError(f"names: {known}, got {name!r:.80}{did_you_mean(name, _KNOWN)}")
    return listed


def _constructor_of(theirs: Any) -> Callable[..., Any]:
    """Return the ``__new__`` of one of torch's classes.

    `uninstall` does not remove it: Python remembers that a class once had a ``__new__``, and would
    reject the arguments of the next call.
    """

    def __new__(cls: Any, *args: Any, **options: Any) -> Any:
        # pickle and copy call it without arguments; their optimizers keep their class.
        if cls is theirs and (args or options) and not options.get("differentiable"):
            cls = _installed.get(theirs, theirs)
        following = super(theirs, cls).__new__
        if following is object.__new__:
            return following(cls)
        return following(cls, *args, **options)

    # inspect.signature reads the arguments of __new__.
    __new__.__signature__ = inspect.signature(theirs.__init__)  # type: ignore[attr-defined, misc]
    return __new__
