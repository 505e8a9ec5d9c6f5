"""The errors that gpuopt raises, beside ValueError and TypeError."""

from __future__ import annotations


class BackendError(RuntimeError):
    """A backend was asked for that cannot run here; the message says what is missing."""


class NotAvailableError(RuntimeError, AttributeError):
    """An attribute that an optimizer does not have with its options, or not at the moment.

    As an AttributeError it lets `hasattr` and the default of `getattr` answer.
    """


BackendError.__module__ = "gpuopt"  # where everybody imports it from: tracebacks name it so
