"""Serves the operations on an inherited listening socket: one thread, several connections, bounded buffers.

May never wait for a reader, buffer without bound, or let two connections hold the authority role.
"""

import selectors
import socket
from typing import Any

from sealwright_signer.protocol import (
    MAX_FRAME,
    Code,
    Refused,
    decode,
    encode,
    frame,
    require,
    require_members,
)
from sealwright_signer.signer import OPERATIONS, Signer

MAX_CONNECTIONS = 32
MAX_SMALL_FRAME = 64 << 10  # from a connection that does not hold the authority role
HIGH_WATER = 1 << 20  # unread answers beyond which a connection is not served any further
HEAD = 4  # bytes of a frame's length
TICK = 1.0  # seconds at most between two looks at the clock


class _Peer:
    """One connection: what it sent and what it has not read yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.unread, self.unsent = sock, bytearray(), bytearray()
        self.authority = self.closed = False

    def frame(self) -> bytes | None:
        """The next complete frame; Refused when its length can never be served."""
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
        self._selector, self.running = selectors.DefaultSelector(), True
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve; a failed self-check or a fault in our own code ends it."""
        while self.running:
            busy = [peer for peer in self._peers if self._serve(peer)]
            for key, events in self._selector.select(0 if busy else TICK):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._transfer(key.data, events)
            self._signer.tick()
        for peer in list(self._peers):
            self._close(peer)
        self._selector.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # the caller is gone, or there are no descriptors left
            return
        if len(self._peers) >= MAX_CONNECTIONS:  # the longest silent one makes room, never the authority
            self._close(next(peer for peer in self._peers if not peer.authority))
        sock.setblocking(False)
        self._peers.append(peer := _Peer(sock))
        self._selector.register(sock, selectors.EVENT_READ, peer)

    def _close(self, peer: _Peer) -> None:
        self._selector.unregister(peer.sock)
        peer.sock.close()
        self._peers.remove(peer)
        peer.closed = True

    def _transfer(self, peer: _Peer, events: int) -> None:
        if peer.closed:
            return
        try:
            if events & selectors.EVENT_WRITE:
                del peer.unsent[: peer.sock.send(peer.unsent)]
            if events & selectors.EVENT_READ:
                data = peer.sock.recv(1 << 18)
                peer.unread += data
                if not data:
                    self._close(peer)
                    return
        except BlockingIOError:
            pass
        except OSError:
            self._close(peer)

    def _serve(self, peer: _Peer) -> bool:
        """Answer one frame; true when there may be another."""
        try:
            body = None if peer.closed else peer.frame()
        except Refused:
            self._close(peer)  # where the next frame begins cannot be known
            return False
        if body is not None:
            peer.unsent += frame(self._answer(peer, body))
        if not peer.closed:
            self._flush(peer, reading=len(peer.unsent) <= HIGH_WATER and len(peer.unread) <= MAX_FRAME)
        return body is not None

    def _flush(self, peer: _Peer, *, reading: bool) -> None:
        try:
            if peer.unsent:
                del peer.unsent[: peer.sock.send(peer.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._close(peer)
            return
        events = selectors.EVENT_READ * reading | selectors.EVENT_WRITE * bool(peer.unsent)
        if self._selector.get_key(peer.sock).events != events:
            self._selector.modify(peer.sock, events, peer)

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

    def _perform(self, peer: _Peer, request: dict[str, object]) -> str:
        operation: Any = request.pop("op", None)
        known = type(operation) is str and operation in OPERATIONS
        require(known, Code.bad_request, "no such operation")
        shape, privileged = OPERATIONS[operation]
        members = require_members(request, shape, operation)
        require(peer.authority or not privileged, Code.not_authority, f"{operation} needs the authority role")
        answer: str = getattr(self._signer, operation)(**members)
        if operation == "hello":
            for other in [
                p for p in self._peers if p.authority and p is not peer and members["role"] == "authority"
            ]:
                self._close(other)
            peer.authority = members["role"] == "authority"
        return answer
