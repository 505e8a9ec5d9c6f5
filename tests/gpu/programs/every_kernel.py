"""Small steps in which each kernel of a backend runs: aligned or not, and with every stage."""

import torch

import gpuopt
from tests.gpu.programs.common import parser, wait

SIZES = (1, 7, 8192, 8193, 20_001)
MANY = 2049
"""More tensors, and so chunks, than one program adds up."""

TAIL = {"clip_norm": 1.0, "stats": True}
CASES = (
    ("float32", 0, "adam", {}),
    ("bfloat16", 0, "adam", {}),
    ("float32", 1, "adam", {}),
    ("float64", 0, "adam", {}),
    ("float32", 0, "adam", {**TAIL, "skip_nonfinite": True, "ema_decay": 0.9, "zero_grads": True}),
    ("bfloat16", 1, "adam", {**TAIL, "master_weights": True}),
    ("bfloat16", 0, "adam", {"master_weights": "split8", "state_dtype": "8bit"}),
    ("bfloat16", 1, "adam", {"master_weights": "split16", "state_dtype": "bfloat16"}),
    ("float32", 0, "lamb", {}),
    ("float32", 0, "dadapt_adam", {}),
    ("float32", 1, "prodigy", {**TAIL, "state_dtype": "8bit"}),
    ("float32", 0, "adamw_schedule_free", {}),
    ("float32", 0, "sophiag", {"skip_nonfinite": True}),
)
"""The dtype, the elements by which each tensor is shifted off its alignment, rule and options."""


def main():
    asked = parser(__doc__)
    asked.add_argument("--backend", required=True)
    given = asked.parse_args()
    for dtype, shift, rule, options in CASES:
        with gpuopt.use_backend(given.backend):
            trained(dtype, shift, given.device, rule, options)
        wait(given.device)
        print(f"{rule} in {dtype}, shifted by {shift}, {options}: done", flush=True)
    with gpuopt.use_backend(given.backend):
        clipped(given.device)
    wait(given.device)
    print("the norm of many tensors: done", flush=True)


def trained(dtype, shift, device, rule, options):
    """Two steps, and the passes of the rule if it has some."""
    if options.get("state_dtype") == "8bit":
        options = {**options, "min_8bit_size": 1}
    params = tensors(0, dtype, shift, device)
    optimizer = gpuopt.Optimizer(params, rule=rule, weight_decay=0.1, **options)
    for step in (1, 2):
        grads = tensors(step, dtype, shift, device)
        if hasattr(optimizer, "train"):
            optimizer.eval()
            optimizer.train()
        optimizer.step(grads)
        if hasattr(optimizer, "update_hessian"):
            optimizer.update_hessian(grads)


def clipped(device):
    """A step that waits for the norm of many gradients."""
    params, grads = (list(torch.ones(MANY, 8, device=device)) for _ in range(2))
    gpuopt.SGD(params, lr=0.5, clip_norm=1.0).step(grads)


def tensors(seed, dtype, shift, device):
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(n + shift, generator=generator) for n in SIZES]
    return [t.to(device, getattr(torch, dtype))[shift:] for t in drawn]


if __name__ == "__main__":
    main()
