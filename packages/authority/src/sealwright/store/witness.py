"""`WitnessStore` on plain files: one directory for each log, named by the SHA-256 of its origin.

The file `checkpoint` is at once the state and what is served: the newest cosigned note, written, synced and
renamed. It is verified with the witness's own key when it is read back, so that an edited state is noticed.
May never keep more than a bounded number of files for a log.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from sealwright.errors import Misconfigured, Unavailable
from sealwright.files import make_private_directory, write_private
from sealwright.witness.model import Cosigned
from sealwright_validate.cosignature import CosignerKey, cosigned_by
from sealwright_validate.errors import Refused
from sealwright_validate.note import Checkpoint, decimal, hash_of

EVIDENCE_MAX = 16
"""Files of each kind for a log."""
_NAMES = {True: "proven", False: "suspected"}


class FileWitnessStore:
    """The state of one witness below a directory of its own."""

    def __init__(self, directory: Path, keys: Sequence[CosignerKey]) -> None:
        self._directory = directory
        self._keys = tuple(keys)
        self._held: dict[str, Cosigned] = {}
        self._lock = threading.Lock()
        make_private_directory(directory)

    def _of(self, origin: str) -> Path:
        return self._directory / sha256(origin.encode()).hexdigest()

    def get(self, origin: str) -> Cosigned | None:
        """The newest head, None before the first."""
        held = self._held.get(origin)
        if held is None:
            file = self._of(origin) / "checkpoint"
            if not file.is_file():
                return None
            held = self._held[origin] = self._read(file, origin)
        return held

    def _read(self, file: Path, origin: str) -> Cosigned:
        try:
            note = file.read_text(encoding="utf-8")
            named, size, root = note.split("\n")[:3]
            head = Checkpoint(named, decimal(size), hash_of(root))
            times = cosigned_by(note, head, self._keys)
        except (OSError, ValueError, Refused) as error:
            raise _bad_state(file, str(error)) from error
        if named != origin or len(times) != len(self._keys):
            raise _bad_state(file, "it is of another log, or lacks our cosignature")
        return Cosigned(head, note, max(times.values()))

    def put(self, cosigned: Cosigned) -> None:
        """Replace the head; durable when this returns."""
        directory = self._of(cosigned.head.origin)
        try:
            make_private_directory(directory)
            write_private(directory / "checkpoint", cosigned.note.encode())
        except OSError as error:
            # It may have been written and reported as failed: what counts is read back from the file.
            self._held.pop(cosigned.head.origin, None)
            raise Unavailable("witness_store", "the head could not be made durable", str(error)) from error
        self._held[cosigned.head.origin] = cosigned

    def keep_evidence(self, origin: str, text: str, *, proven: bool) -> None:
        """Keep two heads that do not fit, once each."""
        directory, kind = self._of(origin), _NAMES[proven]
        name = f"{kind}-{sha256(text.encode()).hexdigest()[:16]}.txt"
        with self._lock:
            if len(list(directory.glob(f"{kind}-*.txt"))) < EVIDENCE_MAX and not (directory / name).exists():
                write_private(directory / name, text.encode())

    def evidence(self, origin: str) -> tuple[int, int]:
        """How much is kept: proven, and suspected."""
        directory = self._of(origin)
        proven, suspected = (len(list(directory.glob(f"{_NAMES[kind]}-*.txt"))) for kind in (True, False))
        return proven, suspected


def _bad_state(file: Path, why: str) -> Misconfigured:
    text = f"{file} is not what this witness wrote ({why}); restore it, or begin with another name and key"
    return Misconfigured("witness_state", text)
