"""A closed origin keeps no connection, whatever a thread that was not told in time still asks of it."""

import pytest

from sealwright_validate.conformance.server import LoopbackServer, Served
from sealwright_validate.errors import Unavailable
from sealwright_validate.fetch import Origin

pytestmark = pytest.mark.enable_socket


def test_a_request_after_the_end_is_answered_and_leaves_no_connection() -> None:
    served = Served()
    served.manifest = b"{}"
    with LoopbackServer(served) as server:
        origin = Origin(server.url)
        assert origin.get("/manifest").body == b"{}"
        assert len(origin._idle) == 1
        origin.close()
        assert origin.get("/manifest").body == b"{}"
        assert origin._idle == []


def test_a_stream_after_the_end_does_not_begin() -> None:
    with LoopbackServer(Served()) as server:
        origin = Origin(server.url)
        origin.close()
        with pytest.raises(Unavailable, match="closed meanwhile"):
            next(origin.stream("/manifest/events", silence=60))
