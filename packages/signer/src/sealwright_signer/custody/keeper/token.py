"""A PKCS#11 token through python-pkcs11: opened once, keys made in it, used over a pool of sessions.

May never ask for a private value, make a key that could come out, or use one before the token has said that
it cannot.
"""

import ctypes
import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag

from sealwright_signer import jws
from sealwright_signer.custody.keeper.settings import Settings, Unusable

RSA_BITS, POINT, SHARE = 2048, 65, 8  # bits; bytes; messages that are worth a session of their own
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # SHA-256 (RFC 8017 section 9.2)
P256, ED25519 = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06032b6570")
CURVE_NAME = bytes.fromhex("130c656477617264733235353139")  # PrintableString "edwards25519", as some take it
OS_LOCKING = 2  # CKF_OS_LOCKING_OK
PRIVATE = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
PRIVATE |= {Attribute.SIGN: True, Attribute.DECRYPT: False, Attribute.UNWRAP: False, Attribute.DERIVE: False}
PROVEN = {Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
PROVEN |= {Attribute.ALWAYS_SENSITIVE: True, Attribute.NEVER_EXTRACTABLE: True, Attribute.LOCAL: True}


@dataclass(frozen=True, slots=True)
class Way:
    """How a token makes keys of one algorithm and signs with them."""

    make: Mechanism
    use: Mechanism
    parameter: Any = None


WAYS = {
    "ES256": Way(Mechanism.EC_KEY_PAIR_GEN, Mechanism.ECDSA),
    "EdDSA": Way(Mechanism.EC_EDWARDS_KEY_PAIR_GEN, Mechanism.EDDSA),
    "RS256": Way(Mechanism.RSA_PKCS_KEY_PAIR_GEN, Mechanism.RSA_PKCS),
    "PS256": Way(
        Mechanism.RSA_PKCS_KEY_PAIR_GEN,
        Mechanism.RSA_PKCS_PSS,
        (Mechanism.SHA256, pkcs11.MGF.SHA256, 32),
    ),
}


def load(module: str) -> Any:
    """The module, initialised for several threads, which python-pkcs11 does not ask for by itself.

    Without that, two sessions at a time end SoftHSM with a segmentation fault.
    """
    try:
        library = pkcs11.lib(module)
    except pkcs11.PKCS11Error as error:
        what = f"{type(error).__name__} {error}".strip()
        hint = "look at custody.environment and custody.reach"
        raise Unusable(f"the module {module} cannot be loaded ({what}); {hint}") from None
    library.finalize()
    functions = ctypes.POINTER(ctypes.c_void_p)()
    ctypes.CDLL(module).C_GetFunctionList(ctypes.byref(functions))
    initialize = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(functions[1])  # after the version
    arguments = (ctypes.c_ulong * 6)(0, 0, 0, 0, OS_LOCKING, 0)  # CK_C_INITIALIZE_ARGS
    if result := initialize(ctypes.addressof(arguments)):
        raise Unusable(f"the module {module} does not serve several threads (error {result:#x})")
    return library


class Token:
    """An open, logged-in token. Handles are numbers; a key's CKA_ID finds it again in every session."""

    def __init__(self, settings: Settings, pin: str, algorithms: Sequence[str]) -> None:
        """Log in once, and open the pool. Unusable with the reason."""
        self._settings, self._keys, self._number = settings, dict[int, tuple[Way, bytes, Any]](), 0
        self._token = _find(load(settings.module), settings.token)
        self._require_offered(algorithms)
        if self._token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise Unusable("the PIN is locked, or one try is left: log in by hand once to clear that")
        self._home = self._token.open(rw=True, user_pin=pin)
        self._pool = queue.SimpleQueue[Any]()
        for _ in range(settings.sessions):
            self._pool.put(self._token.open())
        self._workers = ThreadPoolExecutor(settings.sessions)
        self.sweep()

    def _require_offered(self, algorithms: Sequence[str]) -> None:
        slot = self._token.slot
        offered = set(slot.get_mechanisms())
        for algorithm in algorithms:
            way = WAYS[algorithm]
            signs = way.use in offered and MechanismFlag.SIGN in slot.get_mechanism_info(way.use).flags
            if way.make not in offered or not signs:
                wanted = f"CKM_{way.make.name} and CKM_{way.use.name}"
                raise Unusable(
                    f"the token {self._settings.token!r} does not offer {algorithm} ({wanted}): "
                    f"take it out of the realms' algorithms"
                )

    def sweep(self) -> None:
        """Destroy what an incarnation before this one left in the token under our label."""
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            wanted = {Attribute.CLASS: kind, Attribute.LABEL: self._settings.label}
            for left in list(self._home.get_objects(wanted)):
                left.destroy()

    def generate(self, algorithm: str) -> tuple[int, dict[str, str]]:
        """Make a key pair, and have the token confirm that the private half was born and stays in it."""
        way, identifier = WAYS[algorithm], os.urandom(16)
        stored = self._settings.objects == "token"
        further = {"store": stored, "id": identifier, "label": self._settings.label}
        further |= {"private_template": PRIVATE, "mechanism": way.make}
        public, private = self._pair(algorithm, further)
        held = {name: private[name] for name in PROVEN}
        jwk = _jwk(algorithm, public)
        public.destroy()
        if held != PROVEN:
            private.destroy()
            raise Unusable("the token made a key that is not held to stay inside; it was destroyed")
        self._number += 1
        self._keys[self._number] = way, identifier, private
        return self._number, jwk

    def _pair(self, algorithm: str, further: dict[str, Any]) -> tuple[Any, Any]:
        if algorithm in jws.RSA:
            made: tuple[Any, Any] = self._home.generate_keypair(KeyType.RSA, RSA_BITS, **further)
            return made
        kind = KeyType.EC if algorithm == "ES256" else KeyType.EC_EDWARDS
        names = [P256] if algorithm == "ES256" else [ED25519, CURVE_NAME]
        for name in names[:-1]:
            with suppress(pkcs11.PKCS11Error):
                return self._on_curve(kind, name, further)
        return self._on_curve(kind, names[-1], further)

    def _on_curve(self, kind: KeyType, name: bytes, further: dict[str, Any]) -> tuple[Any, Any]:
        curve = self._home.create_domain_parameters(kind, {Attribute.EC_PARAMS: name}, local=True)
        made: tuple[Any, Any] = curve.generate_keypair(**further)
        return made

    def sign(self, wanted: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """A signature for each handle and data (SHA-256, for EdDSA the message); all or an error."""
        size = max(SHARE, -(-len(wanted) // self._settings.sessions))
        shares = [wanted[at : at + size] for at in range(0, len(wanted), size)]
        if len(shares) == 1:
            return self._share(wanted)
        return [each for share in self._workers.map(self._share, shares) for each in share]

    def _share(self, wanted: Sequence[tuple[int, bytes]]) -> list[bytes]:
        with self._session() as session:
            found = {handle: self._in(session, handle) for handle in {handle for handle, _ in wanted}}
            return [_sign(*found[handle], data) for handle, data in wanted]

    def _in(self, session: Any, handle: int) -> tuple[Way, Any]:
        way, identifier, _ = self._keys[handle]
        search = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: identifier})
        found = list(search)
        if len(found) != 1:
            raise pkcs11.exceptions.ObjectHandleInvalid("the key is not in the token any more")
        return way, found[0]

    @contextmanager
    def _session(self) -> Iterator[Any]:
        session = self._pool.get()
        try:
            session = session or self._token.open()
            yield session
        except pkcs11.PKCS11Error:  # the next one to come opens another
            with suppress(pkcs11.PKCS11Error):
                if session:
                    session.close()
            session = None
            raise
        finally:
            self._pool.put(session)

    def require_there(self) -> None:
        """PKCS11Error unless the token still holds every key that it should."""
        for handle in self._keys:
            self._in(self._home, handle)

    def destroy(self, handle: int) -> None:
        """Destroy the private half; PKCS11Error when the token does not confirm it."""
        _, identifier, private = self._keys.pop(handle)
        private.destroy()
        if list(self._home.get_objects({Attribute.ID: identifier})):
            raise pkcs11.PKCS11Error("the key is still in the token after it was destroyed")

    def close(self) -> None:
        """Destroy every key and end all sessions."""
        with suppress(pkcs11.PKCS11Error):
            for handle in list(self._keys):
                self.destroy(handle)
            self._home.close()


def _find(library: Any, label: str) -> Any:
    try:
        return library.get_token(token_label=label)
    except pkcs11.exceptions.NoSuchToken:
        raise Unusable(f"there is no token labelled {label!r} behind this module") from None
    except pkcs11.exceptions.MultipleTokensReturned:
        raise Unusable(f"several tokens are labelled {label!r}: labels must be distinct") from None


def _sign(way: Way, key: Any, data: bytes) -> bytes:
    told = DIGEST_INFO + data if way.use is Mechanism.RSA_PKCS else data
    made: bytes = key.sign(told, mechanism=way.use, mechanism_param=way.parameter)
    return made


def _jwk(algorithm: str, public: Any) -> dict[str, str]:
    if algorithm in jws.RSA:
        e, n = public[Attribute.PUBLIC_EXPONENT], public[Attribute.MODULUS]
        return {"e": jws.b64u(e.lstrip(b"\0")), "kty": "RSA", "n": jws.b64u(n.lstrip(b"\0"))}
    point: bytes = public[Attribute.EC_POINT]  # an OCTET STRING, or bare as older tokens give it
    if point[0] == 0x04 and point[1] == len(point) - 2:  # noqa: PLR2004 - tag and length
        point = point[2:]
    if algorithm == "EdDSA":
        return {"crv": "Ed25519", "kty": "OKP", "x": jws.b64u(point)}
    if len(point) != POINT:
        raise Unusable("the token gave a public key that is no point of P-256")
    return {"crv": "P-256", "kty": "EC", "x": jws.b64u(point[1:33]), "y": jws.b64u(point[33:])}
