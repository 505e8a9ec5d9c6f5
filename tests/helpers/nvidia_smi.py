"""A stand-in for the driver's own tool."""

import os


def put_nvidia_smi(folder, monkeypatch, script):
    """Put a program of that name in front of every other."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
