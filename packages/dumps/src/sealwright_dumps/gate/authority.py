"""The gate's steps in an authority's ledger, through its admin socket; the gate's own chain names each entry.

May never do: take a step that the authority did not write down, or send a byte of a dump.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealwright_dumps.errors import Unavailable
from sealwright_dumps.gate.ledger import Ledger

SECONDS = 30.0
_LARGEST = 1 << 16


class AuthorityLedger:
    """Asks the authority first, then writes the line that names the authority's entry.

    Args:
        path: the authority's admin socket.
        chain: the gate's own log.
    """

    def __init__(self, path: Path, chain: Ledger) -> None:
        self._path = path
        self._chain = chain

    def append(self, step: str, fields: Mapping[str, Any]) -> None:
        """Make a step durable on both sides. Raises Unavailable; then the step must not be taken."""
        name = str(fields.get("name") or "none")
        facts = {key: value for key, value in fields.items() if key != "name"}
        entry = self._post(json.dumps({"step": step, "name": name, "facts": facts}).encode())
        self._chain.append(step, dict(fields) | {"authority": entry})

    def last_step(self, name: str) -> str:
        """The last step of a dump, by the gate's own log."""
        return self._chain.last_step(name)

    def _post(self, body: bytes) -> dict[str, Any]:
        connection = http.client.HTTPConnection("authority")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # connected by hand, to no host
        try:
            connection.sock.settimeout(SECONDS)
            connection.sock.connect(str(self._path))
            connection.request("POST", "/admin/dumps/steps", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read(_LARGEST))
            if answer.status != http.HTTPStatus.OK:
                raise Unavailable(
                    "authority-refused", "the authority did not enter the step", str(said)[:200]
                )
            return {"seq": int(said["seq"]), "digest": str(said["digest"])}
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                "authority-silent", "the authority's ledger cannot be reached", str(error)
            ) from error
        finally:
            connection.close()
