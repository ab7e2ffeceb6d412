"""Where security events come from, and as whom they are asked for. May never show its secret.

By poll (RFC 8936) a thread keeps one stream of its own at the transmitter; by push (RFC 8935) the transmitter
calls `take_push`, or the ASGI application in `asgi`. Processes of one service share `state_file`: one of them
polls, the others follow.
"""

import fcntl
import hmac
import json
import logging
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sealwright_validate.algorithms import Verifier
from sealwright_validate.clock import SYSTEM_CLOCK, Clock
from sealwright_validate.encoding import decode_json_object
from sealwright_validate.errors import Misconfigured, Refused, Unavailable
from sealwright_validate.signals.ended import Ended
from sealwright_validate.signals.receiver import Counts, Receiver
from sealwright_validate.signals.sets import SetRefusedError, open_set_keys

if TYPE_CHECKING:
    from io import BufferedWriter

    from sealwright_validate.fetch import Answer

_LOG: Final = logging.getLogger("sealwright_validate")
POLL: Final = "urn:ietf:rfc:8936"
HOLD: Final = 40.0  # seconds that an answer may take: longer than a transmitter holds a poll
ENDING: Final = 0.05  # seconds between attempts to end a poll
FOLLOW: Final = 0.25  # seconds between looks at what another process wrote
RETRY_FIRST, RETRY_LAST = 0.25, 30.0
AT_ONCE: Final = 100
TAKEN, OK, CREATED, BAD, UNAVAILABLE = 202, 200, 201, 400, 503
CONTENT_TYPE: Final = "application/secevent+jwt"


@dataclass(frozen=True, slots=True)
class Settled:
    """What the transmitter need not send again: taken, or never to be taken."""

    acks: list[str] = field(default_factory=list)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)


class Signals:
    """One transmitter.

    Args:
        url: of the transmitter, an origin without a path; also its issuer.
        client_id, client_secret: of a registered reporter (HTTP Basic); not needed for push alone.
        state_file: where what was ended is kept. It must survive the process.
        audience: what this service is called in `aud`; the client id unless named.
        poll: whether to keep a polled stream; with False, events are pushed.
        allow_plain_http: permits sending the secret unencrypted to another machine.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str = "",
        *,
        state_file: str | os.PathLike[str],
        audience: str = "",
        poll: bool = True,
        allow_plain_http: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        from sealwright_validate.fetch import Origin

        if not client_id or (poll and not client_secret):
            raise Misconfigured("receiving signals needs a client id, and a secret to poll with")
        self._origin = Origin(url, timeout=HOLD, clock=clock)
        if poll and not (self._origin.encrypted or self._origin.loopback or allow_plain_http):
            raise Misconfigured(
                "polling over plain http shows the secret to the network: allow_plain_http=True"
            )
        self._name = client_id
        self._poll = poll
        basic = b64encode(f"{client_id}:{client_secret}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {basic}"}
        self._file = Path(state_file)
        self._keys: Mapping[str, Verifier] = {}
        self._metadata: dict[str, Any] | None = None
        self.ended: Final = Ended(self._file, clock=clock)
        self.receiver: Final = Receiver(
            self._origin.url, audience or client_id, self.ended, self._keys_with, clock=clock
        )
        self._stop = Event()
        self._starting = Lock()
        self._process = 0
        self._thread: Thread | None = None

    @property
    def counts(self) -> Counts:
        """What became of SETs in this process."""
        return self.receiver.counts

    def start(self) -> None:
        """Begin to poll or to follow, unless this process does already."""
        if self._process == os.getpid():
            return
        with self._starting:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._origin.forget()
                self._thread = Thread(target=self._run, name="sealwright-signals", daemon=True)
                self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Stop. The stream stays, and keeps events until the next start."""
        self._stop.set()
        thread = self._thread if self._process == os.getpid() else None
        for _ in range(int(timeout / ENDING)):
            self._origin.close()  # again and again: a poll may begin just now, and would be held for long
            if thread is None or not thread.is_alive():
                break
            thread.join(ENDING)
        self._origin.close()  # what the thread kept when it ended

    def take_push(
        self, body: bytes, content_type: str | None, authorization: str | None, expected: str
    ) -> tuple[int, bytes]:
        """Status and body of the answer to a push (RFC 8935 section 2).

        Args:
            body: of the request.
            content_type: its `Content-Type`.
            authorization: its `Authorization`.
            expected: the `authorization_header` that the stream was made with.
        """
        if not hmac.compare_digest((authorization or "").encode(), expected.encode()):
            return _problem("authentication_failed", "not the transmitter's credentials")
        if (content_type or "").partition(";")[0].strip().lower() != CONTENT_TYPE:
            return _problem("invalid_request", f"send {CONTENT_TYPE}")
        try:
            self.receiver.take(body)
        except SetRefusedError as error:
            return _problem(error.err, error.description)
        except Unavailable:
            return UNAVAILABLE, b""
        return TAKEN, b""

    def poll_once(self, settled: "Settled", *, wait: bool) -> "Settled":
        """One exchange (RFC 8936 section 2.4): hand over what is settled, take what there is; returns what
        that settles.

        Raises:
            Unavailable: the transmitter does not answer, or an event cannot be kept now.
        """
        body = {
            "maxEvents": AT_ONCE,
            "returnImmediately": not wait,
            "ack": settled.acks,
            "setErrs": settled.errors,
        }
        answer = self._post(self._stream(), body)
        if answer.status != OK:
            self._metadata = None  # the stream may be gone: make another
            raise Unavailable(f"polling was answered with {answer.status}")
        sets = _object(answer).get("sets")
        now = Settled()
        for jti, signed in sets.items() if isinstance(sets, dict) else ():
            try:
                self.receiver.take(str(signed).encode())
                now.acks.append(jti)
            except SetRefusedError as error:
                _LOG.warning("a security event was refused: %s", error)
                now.errors[jti] = {"err": error.err, "description": error.description}
        return now

    def _run(self) -> None:
        retry = RETRY_FIRST
        while not self._stop.is_set():
            try:
                with self._file.with_suffix(".poller").open("ab") as lock:
                    if self._poll and _is_first(lock):
                        self._keep_polling()
                    else:
                        self.ended.follow()
                        self._stop.wait(FOLLOW)
                retry = RETRY_FIRST
            except (Unavailable, Refused, OSError) as error:
                if self._stop.is_set():
                    return
                _LOG.warning("security events wait: %s", error)
                self._stop.wait(retry)
                retry = min(retry * 2, RETRY_LAST)

    def _keep_polling(self) -> None:
        settled = Settled()
        while not self._stop.is_set():
            self.ended.follow()
            settled = self.poll_once(settled, wait=not (settled.acks or settled.errors))

    def _keys_with(self, kid: str) -> Mapping[str, Verifier]:
        if kid not in self._keys:
            self._keys = open_set_keys(self._get(self._path("jwks_uri")).body)
        return self._keys

    def _stream(self) -> str:
        """The path where our stream is polled; the stream is made if there is none."""
        known = self._facts().get("poll_path")
        if isinstance(known, str):
            return known
        path = self._path("configuration_endpoint")
        listed = json.loads(self._get(path).body)
        ours = [
            one for one in listed if isinstance(one, dict) and one.get("delivery", {}).get("method") == POLL
        ]
        if not ours:
            answer = self._post(path, {"delivery": {"method": POLL}, "description": "sealwright-validate"})
            if answer.status != CREATED:
                raise Unavailable(f"the transmitter made no stream: {answer.status}")
            ours = [_object(answer)]
        path = self._own(ours[0].get("delivery", {}).get("endpoint_url"))
        self._facts()["poll_path"] = path
        return path

    def _facts(self) -> dict[str, Any]:
        if self._metadata is None:
            parts = urlsplit(self._origin.url)
            if parts.path:
                raise Misconfigured("name the transmitter by its origin, without a path")
            self._metadata = decode_json_object(self._get("/.well-known/ssf-configuration").body)
        return self._metadata

    def _path(self, name: str) -> str:
        return self._own(self._facts().get(name))

    def _own(self, address: object) -> str:
        """The path of an address, which must be of the transmitter itself: no answer leads elsewhere."""
        here, there = urlsplit(self._origin.url), urlsplit(address if isinstance(address, str) else "")
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise Unavailable(f"the transmitter names an address that is not its own: {address!r:.100}")
        return there.path + (f"?{there.query}" if there.query else "")

    def _get(self, path: str) -> "Answer":
        answer = self._origin.get(path, self._headers if self._poll else {})
        if answer.status != OK:
            raise Unavailable(f"{path} was answered with {answer.status}")
        return answer

    def _post(self, path: str, body: Mapping[str, Any]) -> "Answer":
        return self._origin.post(path, json.dumps(body).encode(), self._headers)


def _problem(err: str, description: str) -> tuple[int, bytes]:
    return BAD, json.dumps({"err": err, "description": description}).encode()


def _object(answer: "Answer") -> dict[str, Any]:
    try:
        return decode_json_object(answer.body)
    except Refused as refusal:
        raise Unavailable(f"the transmitter's answer cannot be read: {refusal}") from None


def _is_first(lock: "BufferedWriter") -> bool:
    """Whether this process is the one that polls; for as long as the file is open."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
