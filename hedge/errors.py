"""What hedge raises: one line that names the thing and says what to do."""

from __future__ import annotations


class HedgeError(Exception):
    """Base of every error a user can cause; the command line prints it and exits with 1."""


class ModelError(HedgeError):
    """A model file is missing, damaged, unsafe or of a kind hedge can't work on."""


class ProfileError(HedgeError):
    """A device profile is missing or one of its figures is wrong."""


class InputError(HedgeError):
    """An argument is out of its range, or two arguments contradict each other."""


class OutputError(HedgeError):
    """A result can't be written."""


class ToleranceError(HedgeError):
    """The tolerance asked for can't be met; the message says what was reached."""
