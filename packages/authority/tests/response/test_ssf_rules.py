"""What a stream may ask for, what an event says, and that it is told if and only if it happened."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from sealwright.errors import Refused
from sealwright.response.ssf.model import POLL, PUSH, Delivery, Stream
from sealwright.response.ssf.rules import (
    claims_changed,
    client_disabled,
    key_revoked,
    require_deliverable,
    token_revoked,
)
from sealwright.store.db import open_state
from sealwright.store.ssf import SqlStreamStore, outbox, put

BASE = "http://127.0.0.1:8420"


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "https://u:p@x.example/", "https:///x", "http://x.example/", ""]
)
def test_an_endpoint_that_must_not_be_used_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        require_deliverable(Delivery(method=PUSH, endpoint_url=url), local=True)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "http://127.0.0.1/", "https://localhost/", "https://[::1]/"]
)
def test_a_receiver_cannot_make_a_real_transmitter_call_itself(url: str) -> None:
    with pytest.raises(Refused):
        require_deliverable(Delivery(method=PUSH, endpoint_url=url), local=False)


def test_every_kind_of_event_has_what_caep_and_risc_require() -> None:
    issuer = BASE + "/enterprise"
    events = [
        token_revoked(issuer, "j", 5.5, "t", "why"),
        client_disabled(issuer, "c", 5.5, "t", "why"),
        claims_changed(issuer, "j", {"scope": "x"}, 5.5, "t", "why"),
        *key_revoked(issuer, "kid-1", 5.5, "t", "why"),
    ]
    for event in events:
        assert event.content["event_timestamp"] == 5
        assert event.content["reason_admin"]
    change = next(event for event in events if event.type.endswith("credential-change"))
    assert (change.content["change_type"], change.content["friendly_name"]) == ("revoke", "kid-1")
    assert next(event for event in events if event.type.endswith("token-claims-change")).content["claims"]


def test_events_are_in_the_outbox_in_the_same_transaction_as_what_they_tell_of(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    store = SqlStreamStore(engine)
    poll = Delivery(method=POLL)
    store.put_stream(Stream(stream_id="s", receiver="r", aud="r", delivery=poll, events_requested=()))
    event = token_revoked(BASE, "j", 5.0, "t", "why")
    with engine.connect() as connection, connection.begin() as revocation:
        assert put(connection, [event], BASE, 6.0) == 1
        revocation.rollback()
    assert store.oldest() == {}
    with engine.begin() as connection:
        put(connection, [event], BASE, 6.0)
    with engine.connect() as connection:
        claims = json.loads(connection.execute(select(outbox.c.claims)).scalar_one())
    assert claims["sub_id"]["jti"] == "j"
    engine.dispose()
