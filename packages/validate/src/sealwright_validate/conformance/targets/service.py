"""A black-box relying party behind HTTP: 2xx is accepted, 400, 401 and 403 are refused, anything else is a
fault.

May never follow a redirect: a redirect to a login page is a refusal, and one to a success page would be a
lie.
"""

import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.targets.model import Said, TargetAbsentError, Verdict
from sealwright_validate.errors import Misconfigured

_REFUSED: Final = frozenset((301, 302, 303, 307, 308, 400, 401, 403, 413, 414, 431))
_PAUSE: Final = 0.25  # seconds
_TIMEOUT: Final = 10.0  # seconds


class Service:
    """A service at an address that demands a bearer token."""

    version = ""

    def __init__(self, url: str, *, knows_manifest: bool) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"{url!r} is no http(s) address")
        self.name = url
        self.knows_manifest = knows_manifest
        self._make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def wait_until_ready(self, good_token: str, seconds: float) -> None:
        """Wait until the service accepts a good token: it may need time to fetch keys."""
        deadline = SYSTEM_CLOCK.monotonic() + seconds
        while (said := self.judge(good_token)).verdict is not Verdict.ACCEPTED:
            if SYSTEM_CLOCK.monotonic() > deadline:
                raise TargetAbsentError(f"{self.name} does not accept a good token: {said.detail}")
            time.sleep(_PAUSE)

    def judge(self, token: str) -> Said:
        """Send one request with the token."""
        try:
            value = f"Bearer {token}".encode("latin-1")
        except UnicodeEncodeError:
            value = f"Bearer {token}".encode()
        if any(byte in value for byte in b"\r\n\0"):
            return Said(Verdict.NOT_SENT, "a header cannot carry it")
        connection = self._make(self._host, self._port, timeout=_TIMEOUT)
        try:
            connection.putrequest("GET", self._path)
            connection.putheader("Authorization", value)
            connection.endheaders()
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            return Said(Verdict.CRASHED, type(error).__name__)
        finally:
            connection.close()
        if 200 <= status < 300:  # noqa: PLR2004 - success
            return Said(Verdict.ACCEPTED, str(status))
        return Said(Verdict.REFUSED if status in _REFUSED else Verdict.CRASHED, str(status))

    def close(self) -> None:
        """Nothing to let go."""
