"""Where alarms are told besides the store: the log, an OCSF file, a webhook, syslog.

A sink may never hold an alarm back or fail detection; the store already has it. All of them block: they are
called in a worker thread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import httpx
import msgspec

from sealwright.clock import Clock
from sealwright.detection.model import Severity, StoredAlarm
from sealwright.detection.ocsf import event
from sealwright.errors import Unavailable

WEBHOOK_SECONDS = 10.0
SUCCESS = range(200, 300)
FACILITY_AUTHPRIV = 10
LEVELS = {Severity.CRITICAL: 2, Severity.HIGH: 3, Severity.MEDIUM: 4, Severity.LOW: 5}
"""RFC 5424 severities: critical, error, warning, notice."""


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


class OcsfFile:
    """Appends each alarm as one OCSF event a line, synced to disk before it counts as told."""

    def __init__(self, path: Path, version: str) -> None:
        self._path = path
        self._version = version

    def tell(self, stored: StoredAlarm) -> None:
        """Append one line. Raises `Unavailable` when the file cannot be written."""
        line = msgspec.json.encode(event(stored, self._version)) + b"\n"
        try:
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable("file_unavailable", "The event file cannot be written.", str(error)) from error


class Webhook:
    """Posts each alarm as an OCSF event, signed as the Standard Webhooks specification says.

    `webhook-id` is the alarm's id, so a receiver can drop repeats; `webhook-signature` is `v1,` and the
    base64 of HMAC-SHA256 over `id.timestamp.body`.

    Args:
        url: where to.
        secret: at least 24 bytes, shared with the receiver.
        client: makes the requests; redirects are not followed.
        clock: dates the signature.
        version: the product's.
    """

    def __init__(self, url: str, secret: bytes, client: httpx.Client, clock: Clock, version: str) -> None:
        self._url = url
        self._secret = secret
        self._client = client
        self._clock = clock
        self._version = version

    def tell(self, stored: StoredAlarm) -> None:
        """Post one event. Raises `Unavailable` for anything but a 2xx answer within 10 s."""
        body = msgspec.json.encode(event(stored, self._version))
        timestamp = str(int(self._clock.now()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": stored.alarm.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": webhook_signature(self._secret, stored.alarm.id, timestamp, body),
        }
        try:
            answer = self._client.post(
                self._url, content=body, headers=headers, timeout=WEBHOOK_SECONDS, follow_redirects=False
            )
        except httpx.HTTPError as error:
            raise Unavailable("webhook_unavailable", "The webhook does not answer.", str(error)) from error
        if answer.status_code not in SUCCESS:
            raise Unavailable("webhook_refused", "The webhook refused an event.", str(answer.status_code))


class Syslog:
    """Sends each alarm as an RFC 5424 message over TCP (octet counting, RFC 6587) or a Unix datagram socket.

    Args:
        address: host and port, or the path of a Unix socket (such as `/dev/log`).
        clock: dates the message.
        hostname: the sender's name in each message.
    """

    def __init__(self, address: tuple[str, int] | str, clock: Clock, hostname: str = "-") -> None:
        self._address = address
        self._clock = clock
        self._hostname = hostname

    def tell(self, stored: StoredAlarm) -> None:
        """Send one message. Raises `Unavailable` when nobody takes it."""
        message = self._message(stored)
        try:
            if isinstance(self._address, str):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                    line.connect(self._address)
                    line.send(message)
            else:
                with socket.create_connection(self._address, timeout=WEBHOOK_SECONDS) as line:
                    line.sendall(b"%d %s" % (len(message), message))
        except OSError as error:
            raise Unavailable("syslog_unavailable", "Syslog takes no messages.", str(error)) from error

    def _message(self, stored: StoredAlarm) -> bytes:
        alarm = stored.alarm
        priority = FACILITY_AUTHPRIV * 8 + LEVELS[alarm.severity]
        at = (
            datetime.fromtimestamp(self._clock.now(), UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        facts: dict[str, Any] = msgspec.to_builtins(alarm)
        body = msgspec.json.encode({"event": "alarm", "seq": stored.seq, **facts})
        return f"<{priority}>1 {at} {self._hostname} sealwright - {alarm.code} - ".encode() + body


def webhook_signature(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature` (Standard Webhooks, symmetric `v1`)."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
