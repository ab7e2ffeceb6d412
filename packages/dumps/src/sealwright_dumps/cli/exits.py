"""The exit statuses, the same for every command. May never do: change between releases."""

from __future__ import annotations

OK = 0
FOUND = 1
USAGE = 2
NOT_SCANNABLE = 3
REFUSED = 4
UNAVAILABLE = 5
