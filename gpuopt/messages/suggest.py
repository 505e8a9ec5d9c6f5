"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping

_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
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
"""What is called otherwise in papers and other libraries: the names here, the first that fits."""


def did_you_mean(given: str, known: Collection[str]) -> str:
    """Return a question to append to an error, or nothing where no name is near.

    >>> did_you_mean("GPUOPT_BACKENDS", ["GPUOPT_BACKEND", "GPUOPT_NUM_THREADS"])
    '; did you mean GPUOPT_BACKEND?'
    >>> did_you_mean("learning_rate", ["lr", "betas", "eps"])
    '; did you mean lr?'
    >>> did_you_mean("color", ["lr", "betas", "eps"])
    ''
    """
    from difflib import get_close_matches  # only where something is wrong anyway

    elsewhere = [name for name in _ELSEWHERE.get(given, ()) if name in known]
    near = elsewhere or get_close_matches(given, known, 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""
