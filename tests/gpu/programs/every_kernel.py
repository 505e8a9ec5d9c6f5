"""Small steps in which each kernel of a backend runs: aligned or not, and with every stage."""

import torch

import gpuopt
from tests.gpu.programs.common import parser, wait

SIZES = (1, 7, 8192, 8193, 20_001)
TAIL = {"clip_norm": 1.0, "stats": True}
CASES = (
    ("float32", 0, {}),
    ("bfloat16", 0, {}),
    ("float32", 1, {}),
    ("float64", 0, {}),
    ("float32", 0, {**TAIL, "skip_nonfinite": True, "ema_decay": 0.9, "zero_grads": True}),
    ("bfloat16", 1, {**TAIL, "master_weights": True}),
)
"""The dtype, the elements by which each tensor is shifted off its alignment, and the options."""


def main():
    asked = parser(__doc__)
    asked.add_argument("--backend", required=True)
    given = asked.parse_args()
    for dtype, shift, options in CASES:
        params = tensors(0, dtype, shift, given.device)
        with gpuopt.use_backend(given.backend):
            optimizer = gpuopt.Adam(params, weight_decay=0.1, **options)
            for step in (1, 2):
                optimizer.step(tensors(step, dtype, shift, given.device))
        wait(given.device)
        print(f"{dtype}, shifted by {shift}, {options}: done", flush=True)


def tensors(seed, dtype, shift, device):
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(n + shift, generator=generator) for n in SIZES]
    return [t.to(device, getattr(torch, dtype))[shift:] for t in drawn]


if __name__ == "__main__":
    main()
