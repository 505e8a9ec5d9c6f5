"""The errors that gpuopt raises besides ValueError and TypeError."""

from __future__ import annotations


class BackendError(RuntimeError):
    """The requested backend cannot run here; the message says what is missing."""


class NotAvailableError(RuntimeError, AttributeError):
    """An attribute that an optimizer lacks with its options, or at the moment.

    It is an AttributeError, so that `hasattr` and the default of `getattr` work.
    """


BackendError.__module__ = "gpuopt"  # the public name, shown in tracebacks
