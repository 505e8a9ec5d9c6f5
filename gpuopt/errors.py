"""The errors that gpuopt raises, beside ValueError and TypeError."""

from __future__ import annotations


class BackendError(RuntimeError):
    """A backend was asked for that cannot run here; the message says what is missing."""


BackendError.__module__ = "gpuopt"  # where everybody imports it from: tracebacks name it so
