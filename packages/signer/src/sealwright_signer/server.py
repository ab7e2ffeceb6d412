"""Serves the operations on an inherited listening socket: one thread, several connections, bounded buffers.

May never wait for a reader, buffer without bound, or let two connections hold the authority role.
"""

import socket
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Any

from sealwright_signer.protocol import Code, Refused, decode, encode, require, require_members
from sealwright_signer.signer import OPERATIONS, Signer

MAX_FRAME = 8 << 20
MAX_SMALL_FRAME = 64 << 10  # from a connection that does not hold the authority role
MAX_CONNECTIONS = 32
HIGH_WATER = 1 << 20  # unread answers beyond which a connection is not served any further
HEAD = 4  # bytes of a frame's length
TICK = 1.0  # seconds at most between two looks at the clock


class _Peer:
    """One connection: what it sent and what it has not read yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.unread, self.unsent, self.authority = sock, bytearray(), bytearray(), False

    def frame(self) -> bytes | None:
        """The next complete frame; Refused when it can never be served."""
        end = HEAD + int.from_bytes(self.unread[:HEAD], "big")
        require(end <= (MAX_FRAME if self.authority else MAX_SMALL_FRAME), Code.bad_request, "too long")
        if len(self.unread) < max(HEAD, end) or len(self.unsent) > HIGH_WATER:
            return None
        body = bytes(self.unread[HEAD:end])
        del self.unread[:end]
        return body


class Server:
    """Serves until `running` is made false."""

    def __init__(self, listener: socket.socket, signer: Signer) -> None:
        self._listener, self._signer, self._peers = listener, signer, list[_Peer]()
        self._selector, self.running = DefaultSelector(), True
        listener.setblocking(False)
        self._selector.register(listener, EVENT_READ)

    def run(self) -> None:
        """Serve; a failed self-check or a fault in our own code ends it."""
        busy = set[_Peer]()
        while self.running:
            events = {key.data: mask for key, mask in self._selector.select(0 if busy else TICK)}
            self._signer.tick()
            if events.pop(None, 0):
                self._accept()
            busy = {peer for peer in busy | events.keys() if self._serve(peer, events.get(peer, 0))}
        for peer in list(self._peers):
            self._close(peer)
        self._selector.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # the caller is gone, or there are no descriptors left
            return
        if len(self._peers) >= MAX_CONNECTIONS:  # the oldest makes room, never the authority
            self._close(next(peer for peer in self._peers if not peer.authority))
        sock.setblocking(False)
        self._peers.append(peer := _Peer(sock))
        self._selector.register(sock, EVENT_READ, peer)

    def _close(self, peer: _Peer) -> None:
        self._selector.unregister(peer.sock)
        self._peers.remove(peer)
        peer.sock.close()

    def _serve(self, peer: _Peer, events: int) -> bool:
        """Read, answer one frame, write; true when there may be another frame."""
        if peer not in self._peers:
            return False
        try:
            with suppress(BlockingIOError):
                if events & EVENT_READ:
                    data = peer.sock.recv(1 << 18)
                    require(data, Code.bad_request, "the other side has ended")
                    peer.unread += data
            body = peer.frame()
            if body is not None:
                text = self._answer(peer, body).encode()
                peer.unsent += len(text).to_bytes(HEAD, "big") + text
            with suppress(BlockingIOError):
                if peer.unsent:
                    del peer.unsent[: peer.sock.send(peer.unsent)]
        except (OSError, Refused):  # where the next frame would begin cannot be known
            self._close(peer)
            return False
        reading = len(peer.unsent) <= HIGH_WATER and len(peer.unread) <= MAX_FRAME
        wanted = EVENT_READ * reading | EVENT_WRITE * bool(peer.unsent)
        if self._selector.get_key(peer.sock).events != wanted:
            self._selector.modify(peer.sock, wanted, peer)
        return body is not None

    def _answer(self, peer: _Peer, unverified: bytes) -> str:
        number = "null"
        try:
            request = decode(unverified)
            numbered = type(request) is dict and type(request.get("id")) is int
            require(numbered, Code.bad_request, "a request is an object with an integer id")
            number = str(request.pop("id"))
            return f'{{"id":{number},"ok":{self._perform(peer, request)}}}'
        except Refused as refusal:
            self._signer.refused(refusal.code)
            error = encode({"code": refusal.code, "message": refusal.message})
            return f'{{"id":{number},"error":{error}}}'

    def _perform(self, peer: _Peer, request: dict[str, Any]) -> str:
        operation = request.pop("op", None)
        known = type(operation) is str and operation in OPERATIONS
        require(known, Code.bad_request, "no such operation")
        shape, privileged = OPERATIONS[operation]
        members = require_members(request, shape, operation)
        require(peer.authority or not privileged, Code.not_authority, "this needs the authority role")
        answer: str = getattr(self._signer, operation)(**members)
        if operation == "hello":
            peer.authority = members["role"] == "authority"
            for other in [p for p in self._peers if peer.authority and p.authority and p is not peer]:
                self._close(other)
        return answer
