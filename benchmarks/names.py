"""Full names, for plots, of what the command line and the data abbreviate."""

from __future__ import annotations

from .arguments import size_text, sizes
from .measure import COPY
from .models import MODELS

_RULES = {
    "sgd": "SGD", "rmsprop": "RMSProp", "adamw": "AdamW", "amsgrad": "AMSGrad",
    "nadam": "NAdam", "radam": "RAdam", "asgd": "ASGD",
}  # fmt: skip
_MODELS = {
    "gpt2": "GPT-2",
    "resnet50": "ResNet-50",
    "llama-1b": "Llama 1B",
    "llama-1b-shard": "Llama 1B, an eighth",
    "tiny500": "500 tensors of 64",
}
_BACKENDS = {"llvm": "LLVM", "numpy": "NumPy", "triton": "Triton", "cupy": "CuPy"}


def rule_name(rule: str) -> str:
    """Return the full name of a rule.

    >>> rule_name("adam"), rule_name("amsgrad")
    ('Adam', 'AMSGrad')
    """
    return _RULES.get(rule, rule.capitalize())


def model_name(model: str) -> str:
    """Return the full name of a model or a size.

    >>> model_name("gpt2"), model_name("64k"), model_name("16m"), model_name("1000")
    ('GPT-2', '64k', '16M', '1000')
    """
    if model in MODELS:
        return _MODELS.get(model, model)
    return model.replace("m", "M").replace("g", "G") if is_size(model) else model


def is_size(model: str) -> bool:
    """Return whether the model is the size of one tensor, in the notation of `size_text`."""
    try:
        return [size_text(size) for size in sizes(model)] == [model]
    except ValueError:  # not a size
        return False


def contender_name(contender: str, ours: bool) -> str:
    """Return the full name of a contender.

    >>> contender_name("llvm, drop-in", True), contender_name("copy", False)
    ('gpuopt, LLVM, drop-in', 'copy loop')
    """
    if not ours:
        return "copy loop" if contender == COPY else contender
    backend, comma, form = contender.partition(",")
    return f"gpuopt, {_BACKENDS.get(backend, backend)}{comma}{form}"
