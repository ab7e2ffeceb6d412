"""Where new alarms are told besides the store: one JSON line each.

A sink may never hold an alarm back or fail detection; the store already has it.
"""

from __future__ import annotations

from typing import TextIO

import msgspec

from sealwright.detection.model import StoredAlarm
from sealwright.errors import Unavailable


class JsonLines:
    """Writes each alarm as one line of JSON to a text stream (the process's log)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, stored: StoredAlarm) -> None:
        """Write one line and flush it. Raises `Unavailable` when the stream takes no more."""
        line = msgspec.json.encode({"event": "alarm", "seq": stored.seq, **msgspec.to_builtins(stored.alarm)})
        try:
            self._stream.write(line.decode() + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise Unavailable("log_unavailable", "The log cannot be written.", str(error)) from error
