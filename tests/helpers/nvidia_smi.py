"""A fake nvidia-smi."""

import os


def put_nvidia_smi(folder, monkeypatch, script):
    """Put a script of that name first on the PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
