"""The three ways in which something can fail, shared by every room.

Rooms raise these; only `http.py` files turn them into status codes. This module may never import another
room.
"""

from __future__ import annotations


class SealwrightError(Exception):
    """Base of all errors that a room raises on purpose.

    Args:
        code: stable, machine-readable reason in snake_case.
        public: a sentence that is safe to show to whoever asked.
        detail: private text for the log; may name internals, never a token or a secret.
    """

    def __init__(self, code: str, public: str, detail: str = "") -> None:
        super().__init__(f"{code}: {public}" + (f" ({detail})" if detail else ""))
        self.code = code
        self.public = public
        self.detail = detail


class Refused(SealwrightError):
    """The caller's (or attacker's) input is refused. Asking again with the same input does not help."""


class Unavailable(SealwrightError):
    """Something that is needed does not answer now. Asking again later may help."""


class Misconfigured(SealwrightError):
    """The configuration or the state on disk cannot be served. Found at start, never in the middle of a
    request.
    """
