"""The three ways in which work ends early.

May never do: carry key material. `public` is shown to anyone, `detail` to the operator only.
"""

from __future__ import annotations


class DumpsError(Exception):
    """Base of this package's errors: a stable reason code, a safe text, and a private detail."""

    def __init__(self, code: str, public: str, detail: str = "") -> None:
        super().__init__(f"{code}: {public}")
        self.code = code
        self.public = public
        self.detail = detail


class Refused(DumpsError):
    """The input (or its sender) is at fault: hostile, truncated, changed while read, not allowed."""


class Unavailable(DumpsError):
    """Something outside failed and may work later: full disk, busy spool."""


class Misconfigured(DumpsError):
    """Found at start: an option, policy or installation that cannot work."""


class Malformed(DumpsError):
    """A structure inside the input is not what it claims. Parsers raise it; callers decide what it means."""

    def __init__(self, public: str) -> None:
        super().__init__("malformed", public)
