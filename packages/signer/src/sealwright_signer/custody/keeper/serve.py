"""Serves the signer's questions about one token until the signer ends; then destroys the keys and ends.

May never answer with part of a batch, outlive the signer by more than a moment, or say what a key is.
"""

import json
import os
import resource
import signal
import socket
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sealwright_signer.custody.keeper.released import Waiting
from sealwright_signer.custody.keeper.settings import Settings, Unusable, pin_of, settings_of
from sealwright_signer.custody.keeper.shut import shut_in

HEAD, FAREWELL, OPENING = 4, 10, 50  # bytes; seconds to end in; seconds to open in
REASONS = {  # PKCS#11's names of what an operator can mend
    "PinIncorrect": "the PIN is wrong: correct the file that custody.pin_file names",
    "PinLenRange": "the PIN is too short or too long for this token",
    "PinLocked": "the PIN is locked: have the token's security officer set it anew",
    "PinExpired": "the PIN has expired: set a new one",
    "TokenNotPresent": "the token is not there any more",
    "TokenNotRecognised": "the token is not recognised: has it been initialised?",
    "DeviceRemoved": "the token was removed",
    "DeviceError": "the device reports an error",
    "DeviceMemory": "the token has no room for more keys",
    "GeneralError": "the module reports a general error",
    "ObjectHandleInvalid": "a key is not in the token any more",
    "SessionCount": "the token allows fewer sessions: lower custody.sessions",
    "UserPinNotInitialized": "the token has no user PIN yet: initialise it",
}


def described(error: Exception) -> str:
    """What happened, for an operator; never the values that an error may carry."""
    name = type(error).__name__
    return f"{REASONS[name]} ({name})" if name in REASONS else name


class Keeper:
    """Answers one question at a time; `token` appears when it was opened."""

    def __init__(self, custody: Mapping[str, Any], algorithms: Sequence[str]) -> None:
        self._custody, self._algorithms = custody, algorithms
        self._token: Any = None
        self._waiting: Waiting | None = None
        self.limit = OPENING
        """Seconds after which the question that is being answered ends this process."""

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question of the signer's."""
        if question["op"] == "open":
            return self._open(question)
        import pkcs11

        try:
            return self._do(question)
        except (Unusable, KeyError) as error:
            return {"failed": str(error)}
        except pkcs11.PKCS11Error as error:
            return self._failed(question, described(error))

    def _failed(self, question: Mapping[str, Any], reason: str) -> dict[str, Any]:
        """Whether that was once, or whether the token is lost: then no key can be relied on."""
        import pkcs11

        if question["op"] == "destroy":
            return {"lost": f"{reason}; whether the key was destroyed is not known"}
        try:
            self._token.require_there()
        except pkcs11.PKCS11Error as error:
            return {"lost": f"{reason}; {described(error)}"}
        return {"failed": reason}

    def _do(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._token is None:
            raise Unusable("it waits for its PIN to be released")
        if question["op"] == "generate":
            handle, jwk = self._token.generate(question["alg"])
            return {"handle": handle, "jwk": jwk}
        if question["op"] == "destroy":
            self._token.destroy(question["handle"])
            return {}
        wanted = [(handle, b64decode(data)) for handle, data in question["wanted"]]
        return {"signatures": [b64encode(made).decode() for made in self._token.sign(wanted)]}

    def _open(self, question: Mapping[str, Any]) -> dict[str, Any]:
        try:
            settings = settings_of(self._custody)
            if "sealed" in question:
                pin = (self._waiting or Waiting()).secret(settings.released, question)
                self._token = _token(settings, pin, self._algorithms)
                self._waiting = None
                return {}
            for name, value in settings.environment.items():
                os.putenv(name, value)  # for the module, which asks the C library
            self._waiting = Waiting() if settings.released else None
            pin = "" if self._waiting else pin_of(settings.pin_file)
            named = [str(Path(settings.module).parent), *settings.environment.values()]
            measures = shut_in(named, settings.reach, network=settings.network)
            self._token = None if self._waiting else _token(settings, pin, self._algorithms)
            self.limit = (OPENING if self._waiting else settings.patience) + FAREWELL
        except Unusable as unusable:
            return {"misconfigured": str(unusable)}
        where = "outside the signer: what isolates a key is the token itself"
        first = {"measure": "custody_apart", "state": "on"}
        first["reason"] = f"process {os.getpid()} uses token {settings.token!r} of {settings.module}, {where}"
        key = self._waiting.public.hex() if self._waiting else ""
        return {"patience": settings.patience, "measures": [first, *measures], "release_key": key}

    def close(self) -> None:
        """Destroy every key."""
        if self._token is not None:
            self._token.close()


def _token(settings: Settings, pin: str, algorithms: Sequence[str]) -> Any:
    try:
        import pkcs11

        from sealwright_signer.custody.keeper.token import Token
    except ImportError:
        raise Unusable("python-pkcs11 is not installed: pip install 'sealwright-signer[pkcs11]'") from None
    try:
        return Token(settings, pin, algorithms)
    except pkcs11.PKCS11Error as error:
        raise Unusable(described(error)) from None


def _exactly(asked: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = asked.recv(min(size - len(parts), 1 << 18))
        if not part:
            raise ConnectionResetError
        parts += part
    return bytes(parts)


def _serve(asked: socket.socket, keeper: Keeper) -> None:
    try:
        while True:
            question = json.loads(_exactly(asked, int.from_bytes(_exactly(asked, HEAD), "big")))
            signal.alarm(keeper.limit)  # a module that never comes back must not outlive its signer
            body = json.dumps(keeper.answer(question)).encode()
            signal.alarm(0)
            asked.sendall(len(body).to_bytes(HEAD, "big") + body)
    except OSError:  # the signer has ended
        signal.alarm(FAREWELL)


def run(asked: socket.socket, custody: Mapping[str, Any], algorithms: Sequence[str]) -> NoReturn:
    """Be the keeper: this process was forked for it. `asked` is the signer's end of the conversation."""
    status = 1
    try:
        os.closerange(3, asked.fileno())
        os.closerange(asked.fileno() + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
        for name in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        keeper = Keeper(custody, algorithms)
        _serve(asked, keeper)
        keeper.close()
        status = 0
    finally:  # whatever happens, this process never returns into the signer's program
        if kind := sys.exc_info()[0]:
            os.write(2, f"keeper ends: {kind.__name__}\n".encode())
        os._exit(status)
