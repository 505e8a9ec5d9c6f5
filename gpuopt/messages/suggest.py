"""Parts of messages: suggestions for misspelt names, numbers with nouns."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "alpha": ("beta", "alpha"),
    "beta": ("betas", "alpha", "rho"),
    "beta1": ("betas", "beta"),
    "beta2": ("betas", "beta"),
    "decay": ("weight_decay",),
    "ema": ("ema_decay",),
    "epsilon": ("eps",),
    "grad_clip": ("clip_norm",),
    "learning_rate": ("lr",),
    "max_grad_norm": ("clip_norm",),
    "max_norm": ("clip_norm",),
    "momentum": ("beta", "betas"),
    "rate": ("lr",),
    "rho": ("beta", "alpha", "rho"),
    "wd": ("weight_decay",),
}
"""Names in papers and other libraries, with gpuopt's names in order of preference."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "array"), counted(2, "array"), counted(2, "launch", "launches")
    ('1 array', '2 arrays', '2 launches')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def did_you_mean(given: str, known: Collection[str]) -> str:
    """Return a question to append to an error, or "" if no known name is similar.

    >>> did_you_mean("GPUOPT_BACKENDS", ["GPUOPT_BACKEND", "GPUOPT_NUM_THREADS"])
    '; did you mean GPUOPT_BACKEND?'
    >>> did_you_mean("learning_rate", ["lr", "betas", "eps"])
    '; did you mean lr?'
    >>> did_you_mean("color", ["lr", "betas", "eps"])
    ''
    """
    from difflib import get_close_matches  # slow to import, and only errors need it

    synonyms = [name for name in _SYNONYMS.get(given, ()) if name in known]
    near = synonyms or get_close_matches(given, known, 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""
