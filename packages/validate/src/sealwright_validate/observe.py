"""Reports what was validated: batches in the background, through a bounded spool, counted when dropped.

The report holds digests, ids and verdicts (docs/formats/observation.md). May never hold a token, a signature
or a subject in clear, never slow a validation down, and never lose an observation without counting it.
"""

import atexit
import json
import logging
import os
import weakref
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from secrets import token_hex
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from sealwright_validate.clock import Clock
from sealwright_validate.errors import Misconfigured, Unavailable
from sealwright_validate.spool import Spool
from sealwright_validate.tally import Observation, Tally

if TYPE_CHECKING:  # HTTP is imported where it is used
    from sealwright_validate.fetch import Answer

_LOG: Final = logging.getLogger("sealwright_validate")
_LINGER: Final = 0.05  # seconds that the first observation of a batch waits for company
_HEARTBEAT: Final = 15.0  # seconds
_RETRY_LAST: Final = 5.0  # seconds
_BATCH: Final = 500
_BATCH_BYTES: Final = 512 * 1024
_MAX_WAITING: Final = 50_000  # observations in memory before they are formed into batches
_UNVERIFIED_PER_SECOND: Final = (
    50  # observations of tokens without a valid signature: noise that anyone can make
)
# One token that is refused again and again (by an old client, or to drown the others) is told once.
_SAME_REFUSAL: Final = 60.0  # seconds
_MAX_TOLD: Final = 4096
ACCEPTED: Final = "accepted"
_MAX_TEXT: Final = 256
_MAX_AUDIENCES: Final = 32
_STORED: Final = 202
_REJECTED: Final = frozenset((400, 413, 422))


class Observer:
    """Sends observations to one Sealwright. `note` never blocks and never raises."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        describe: Callable[[], Mapping[str, Any]],
        spool: Spool,
        clock: Clock,
        allow_plain_http: bool = False,
    ) -> None:
        from sealwright_validate.fetch import Origin

        self._origin = Origin(url, clock=clock)
        if not (self._origin.encrypted or self._origin.loopback or allow_plain_http):
            raise Misconfigured(
                "reporting over plain http shows the secret to the network: allow_plain_http=True"
            )
        basic = b64encode(f"{client_id}:{client_secret}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {basic}"}
        self._describe = describe
        self._spool = spool
        self._clock = clock
        self._tally = Tally()
        self._begin()
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _after_fork(reference))
        atexit.register(_at_exit, reference)

    def _begin(self) -> None:
        self._waiting: deque[Observation] = deque()
        self._lock = Lock()
        self._wake = Event()
        self._stop = Event()
        self._thread: Thread | None = None
        self._closed = False
        self._told: dict[tuple[bytes, str], float] = {}
        self._bucket_second = 0
        self._bucket_used = 0

    @property
    def tally(self) -> Tally:
        """What became of the observations so far."""
        return replace(self._tally, dropped=self._tally.dropped + self._spool.dropped)

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._thread is None:
                self._wake.set()  # the spool may hold what an earlier process left
                self._thread = Thread(target=self._run, name="sealwright-observe", daemon=True)
                self._thread.start()

    def note(self, observation: Observation) -> None:
        """Take an observation in; it is sent within a fraction of a second while the authority answers."""
        if observation.verdict != ACCEPTED and not self._may_note_refusal(observation):
            self._count(suppressed=1)
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._count(dropped=1)
            return
        self._waiting.append(observation)
        self._wake.set()
        if self._thread is None:
            self.start()

    def close(self, timeout: float = 2.0) -> None:
        """Send or spool what is waiting, at most `timeout` seconds, and stop."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
        lost = self._spool.fleeting + len(self._waiting)
        if lost and not self._closed:
            _LOG.error("%d observations end with this process: nobody took them", lost)
        self._closed = True
        self._origin.close()

    def _may_note_refusal(self, seen: Observation) -> bool:
        if not seen.signature_valid:
            return self._may_note_unverified(seen.at)
        name = (seen.digest, seen.verdict)
        with self._lock:
            told = self._told.get(name)
            if told is not None and told <= seen.at < told + _SAME_REFUSAL:
                return False
            self._told.pop(name, None)
            while len(self._told) >= _MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._told[name] = seen.at
            return True

    def _may_note_unverified(self, at: float) -> bool:
        with self._lock:
            second = int(at)
            if second != self._bucket_second:
                self._bucket_second, self._bucket_used = second, 0
            self._bucket_used += 1
            return self._bucket_used <= _UNVERIFIED_PER_SECOND

    def _count(self, *, sent: int = 0, dropped: int = 0, rejected: int = 0, suppressed: int = 0) -> None:
        with self._lock:
            now = self._tally
            self._tally = Tally(
                sent=now.sent + sent,
                dropped=now.dropped + dropped,
                rejected=now.rejected + rejected,
                suppressed=now.suppressed + suppressed,
            )

    def _run(self) -> None:
        retry = _LINGER
        while True:
            self._wake.wait(_HEARTBEAT)
            self._wake.clear()
            if not self._stop.is_set():
                self._stop.wait(_LINGER)
            stopping = self._stop.is_set()
            self._form_batches()
            try:
                self._send_all()
                retry = _LINGER
            except Unavailable as error:
                _LOG.warning("observations wait in the spool: %s", error)
                if not stopping:
                    self._stop.wait(retry)
                    self._wake.set()
                retry = min(retry * 2, _RETRY_LAST)
            if stopping:
                return

    def _form_batches(self) -> None:
        while self._waiting:
            batch: list[str] = []
            size = 0
            while self._waiting and len(batch) < _BATCH and size < _BATCH_BYTES:
                entry = json.dumps(as_entry(self._waiting.popleft()), separators=(",", ":"))
                batch.append(entry)
                size += len(entry)
            lost = self._spool.dropped
            self._spool.put(",".join(batch).encode(), len(batch))
            if self._spool.dropped > lost:
                _LOG.error("the observation spool is full: %d dropped so far", self._spool.dropped)

    def _send_all(self) -> None:
        sent_any = False
        while (oldest := self._spool.oldest()) is not None:
            answer = self._post(oldest.entries)
            if answer.status == _STORED:
                self._count(sent=oldest.count)
            elif answer.status in _REJECTED:
                self._count(rejected=oldest.count)
                _LOG.error("%d observations were rejected with %d", oldest.count, answer.status)
            else:
                raise Unavailable(f"{self._origin.url}/observations answered {answer.status}")
            self._spool.remove(oldest)
            sent_any = True
        if not sent_any:
            self._post(b"")

    def _post(self, entries: bytes) -> "Answer":
        about = json.dumps(dict(self._describe()), separators=(",", ":")).encode()
        body = b'{"validator":' + about + b',"observations":[' + entries + b"]}"
        return self._origin.post("/observations", body, self._headers)


def as_entry(seen: Observation) -> dict[str, Any]:
    """The wire form (docs/formats/observation.md). Only texts of bounded length leave, whatever the token
    held.
    """
    claims = seen.claims
    audience = claims.get("aud")
    audiences = (audience,) if isinstance(audience, str) else audience
    subject = claims.get("sub")
    entry = {
        "id": token_hex(16),
        "at": seen.at,
        "verdict": seen.verdict,
        "signature": "valid" if seen.signature_valid else "unverified",
        "digest": seen.digest.hex(),
        "kid": seen.kid,
        "jti": _text(claims.get("jti")),
        "iss": _text(claims.get("iss")),
        "aud": [_text(name) for name in audiences[:_MAX_AUDIENCES] if isinstance(name, str)]
        if isinstance(audiences, tuple | list)
        else [],
        "iat": _integer(claims.get("iat")),
        "exp": _integer(claims.get("exp")),
        "client_id": _text(claims.get("client_id")),
        "sub_digest": sha256(subject.encode()).hexdigest() if isinstance(subject, str) else None,
    }
    if seen.binding is not None:
        entry["binding"] = seen.binding[:_MAX_TEXT]
    return entry


def _text(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return int(value) if type(value) in (int, float) and 0 <= value < 1 << 53 else None


def library_version() -> str:
    """The version of this package, as installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sealwright-validate")
    except PackageNotFoundError:
        return "unknown"


def _at_exit(reference: "weakref.ref[Observer]") -> None:
    """A program that ends without closing its validator still gets its observations out."""
    observer = reference()
    if observer is not None:
        observer.close()


def _after_fork(reference: "weakref.ref[Observer]") -> None:
    observer = reference()
    if observer is not None:
        observer._begin()  # noqa: SLF001 - the same module
        observer._origin.forget()  # noqa: SLF001 - the same module
