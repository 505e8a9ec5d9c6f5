"""What the programs share."""

import argparse

import torch

import gpuopt
import gpuopt.torch as drop_ins


def parser(text):
    """Return a parser with the options of all programs."""
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    return made


def wait(device):
    """Wait until the device has done all."""
    if device == "cuda":
        torch.cuda.synchronize()


def parameters(shapes, dtype, device):
    """Return random parameters with gradients."""
    made = [torch.nn.Parameter(torch.randn(s, device=device).to(dtype)) for s in shapes]
    for param in made:
        param.grad = torch.randn_like(param) * 1e-3
    return made


def adam(backend, params, **options):
    """Return a step of Adam.

    Args:
        backend: ``"torch"`` for torch's own, fused; otherwise one of gpuopt's.
        params: with gradients.
        options: of gpuopt's drop-in, or of torch's class.
    """
    if backend == "torch":
        fused = {"fused": True} if params[0].is_cuda else {}
        return torch.optim.Adam(params, lr=1e-3, **fused, **options).step
    optimizer = drop_ins.Adam(params, lr=1e-3, **options)

    def step():
        with gpuopt.use_backend(backend):
            optimizer.step()

    return step
