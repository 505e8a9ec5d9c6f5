"""torch.optim's classes make drop-ins: for scripts that hard-code them.

Not the names are replaced but what calling a class makes. So it does not matter where a script has
a class from, or when it imported it; ``isinstance``, ``issubclass`` and pickles, which go by the
class, mean what they meant; and a class that derives from torch's stays torch's.
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
"""The drop-in of each of torch's classes that makes one."""

_KNOWN: dict[str, type[Fused]] = {
    name: getattr(classes, name)
    for name in classes.__all__
    if name != "Optimizer" and hasattr(torch.optim, name)
}
"""The drop-ins of those optimizers that torch.optim has, too."""


def install(names: Iterable[str] | None = None) -> list[str]:
    """Let torch.optim's classes make drop-ins: ``torch.optim.AdamW(...)`` is ours from here on.

    That holds for ``torch.optim.AdamW``, and for what was imported by ``from torch.optim import
    AdamW`` or ``from torch.optim.adamw import AdamW``, before or after, in the whole process; it
    takes the drop-in's own options (``clip_norm=1.0``), too. What stays torch's: optimizers that
    exist, are copied or unpickled; classes that derive from torch's; ``differentiable=True``, which
    drop-ins refuse. The drop-ins derive from torch's classes, so ``isinstance(opt,
    torch.optim.AdamW)`` holds for both, but ``type(opt) is torch.optim.AdamW`` not for a drop-in.

    What is new is logged, once in a job: ``logging.getLogger("gpuopt")``.

    Args:
        names: of torch.optim's classes; None for all that gpuopt has.

    Returns:
        Those that made torch's optimizers until now.

    Raises:
        TypeError, ValueError: a name is no text, or not of such a class; nothing has been changed.

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
    """Let all of torch.optim's classes make torch's optimizers again; drop-ins stay drop-ins."""
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

    `uninstall` leaves it where it is: Python does not forget that a class once had one, and would
    refuse the arguments of the next call.
    """

    def __new__(cls: Any, *args: Any, **options: Any) -> Any:
        # Without arguments it is called by pickle and copy, whose optimizers stay what they are.
        if cls is theirs and (args or options) and not options.get("differentiable"):
            cls = _installed.get(theirs, theirs)
        following = super(theirs, cls).__new__
        if following is object.__new__:
            return following(cls)
        return following(cls, *args, **options)

    # What reads a class's arguments reads those of its __new__.
    __new__.__signature__ = inspect.signature(theirs.__init__)  # type: ignore[attr-defined, misc]
    return __new__
