"""The one kind of refusal of this room."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A file or folder that cannot be used; the message is one sentence: what, where, what to do."""
