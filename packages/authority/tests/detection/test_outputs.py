"""What leaves: OCSF events, signed webhooks, syslog, Sigma rules; each delivered at least once, in order."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from sealwright.detection import sigma
from sealwright.detection.catalogue.entries import CATALOGUE
from sealwright.detection.delivery import Delivery
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.incidents import QUIET, gathered
from sealwright.detection.memory import MemoryAlarmStore, MemoryCursors, MemorySink, SteppedClock
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.model import Alarm, Facts, Severity, StoredAlarm
from sealwright.detection.ocsf import event
from sealwright.detection.sinks import OcsfFile, Syslog, Webhook
from sealwright.errors import Unavailable

SECRET = b"a secret of at least 24 bytes"
Answer = Callable[[httpx.Request], httpx.Response]


def alarm(
    number: int, code: str = "never_issued", at: float = 1_800_000_000.5, **changes: object
) -> StoredAlarm:
    facts: Facts = {"reason": "beyond_end", "client_id": "mail-app", "aud": ["a"]}
    fields: dict[str, object] = {
        "id": f"{number:064x}",
        "code": code,
        "severity": Severity.CRITICAL,
        "raised_at": at,
        "observed_at": at - 0.25,
        "reporter": "mail",
        "digest": f"{number:064x}",
        "kid": "K" * 43,
        "jti": "abcdefghijklmnop.7.abcdefghijkl",
        "facts": facts,
    }
    return StoredAlarm(number, Alarm(**(fields | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [detection.code for detection in CATALOGUE] + ["detection_stalled"])
def test_every_alarm_is_a_valid_ocsf_detection_finding(code: str) -> None:
    models = pytest.importorskip(
        "py_ocsf_models.events.findings.detection_finding", reason="PY-OCSF-MODELS IS ABSENT"
    )
    told = json.loads(json.dumps(event(alarm(1, code), "0.1.0")))
    finding = models.DetectionFinding(**told)
    assert finding.type_uid.value == 200401
    assert told["time"] == 1_800_000_000_500
    assert told["finding_info"]["first_seen_time"] == 1_800_000_000_250
    assert finding.finding_info.uid == f"{1:064x}"


def test_each_severity_is_its_ocsf_severity() -> None:
    ids = [event(alarm(1, severity=severity), "0")["severity_id"] for severity in Severity]
    assert ids == [5, 4, 3, 2]


def test_sub_techniques_name_their_parent() -> None:
    attacks = event(alarm(1), "0")["finding_info"]["attacks"]
    assert [attack["technique"]["uid"] for attack in attacks] == ["T1606", "T1552"]
    assert attacks[1]["sub_technique"]["uid"] == "T1552.004"


def test_the_ocsf_file_has_one_event_a_line(tmp_path: Path) -> None:
    sink = OcsfFile(tmp_path / "events.jsonl", "0.1.0")
    for number in (1, 2):
        sink.tell(alarm(number))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["metadata"]["sequence"] for line in lines] == [1, 2]
    with pytest.raises(Unavailable):
        OcsfFile(tmp_path / "absent" / "events.jsonl", "0.1.0").tell(alarm(1))


def webhook(answer: Answer) -> Webhook:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return Webhook("https://siem.example/hook", SECRET, client, SteppedClock(1_800_000_007.9), "0.1.0")


def test_a_webhook_is_signed_over_id_time_and_body() -> None:
    taken: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        taken.append(request)
        return httpx.Response(204)

    webhook(take).tell(alarm(1))
    headers, body = taken[0].headers, taken[0].content
    assert headers["webhook-id"] == f"{1:064x}"
    assert headers["webhook-timestamp"] == "1800000007"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(body)["class_uid"] == 2004


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500])
def test_anything_but_success_is_a_failed_delivery(status: int) -> None:
    with pytest.raises(Unavailable):
        webhook(lambda _: httpx.Response(status, headers={"Location": "https://other.example/"})).tell(
            alarm(1)
        )


def test_a_webhook_that_does_not_answer_is_unavailable() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down")

    with pytest.raises(Unavailable):
        webhook(fail).tell(alarm(1))


def test_a_syslog_message_has_the_form_of_rfc_5424(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        Syslog(path, SteppedClock(1_800_000_007.25), "host-1").tell(alarm(3))
        message = server.recv(65_536).decode()
    header, body = message.split(" - ", 2)[0], message.split(" - ", 2)[2]
    assert header == "<82>1 2027-01-15T08:00:07.250Z host-1 sealwright"
    assert json.loads(body)["seq"] == 3
    with pytest.raises(Unavailable):
        Syslog(str(tmp_path / "absent"), SteppedClock()).tell(alarm(3))


def test_every_detection_has_a_sigma_rule_that_a_sigma_parser_takes() -> None:
    collection = pytest.importorskip("sigma.collection", reason="PYSIGMA IS ABSENT")
    rules = dict(sigma.rules())
    assert len(rules) == len(CATALOGUE)
    ids = set()
    for detection, text in zip(CATALOGUE, rules.values(), strict=True):
        (parsed,) = collection.SigmaCollection.from_yaml(text).rules
        assert not parsed.errors
        assert parsed.level.name.lower() == detection.severity
        assert [str(tag) for tag in parsed.tags] == [
            f"attack.{technique.lower()}" for technique in detection.attack
        ]
        ids.add(parsed.id)
    assert len(ids) == len(CATALOGUE)


class Carried:
    """A delivery on the ports in memory."""

    def __init__(self) -> None:
        self.alarms = MemoryAlarmStore()
        self.sink = MemorySink()
        self.cursors = MemoryCursors()
        self.feed = AlarmFeed(self.alarms)

    def delivery(self, name: str = "sink") -> Delivery:
        metrics = DetectionMetrics(CollectorRegistry())
        return Delivery(name, self.sink, self.feed, self.cursors, metrics)

    def told(self) -> list[int]:
        return [stored.seq for stored in self.sink.told]


def test_an_outage_of_the_receiver_loses_nothing_and_repeats_nothing_that_was_taken() -> None:
    carried = Carried()
    carried.alarms.add([alarm(number).alarm for number in (1, 2)])
    assert asyncio.run(carried.delivery().step(0)) == 2
    carried.alarms.add([alarm(number).alarm for number in (3, 4, 5)])
    carried.sink.down = True
    with pytest.raises(Unavailable):
        asyncio.run(carried.delivery().step(0))
    carried.sink.down = False
    assert asyncio.run(carried.delivery().step(0)) == 3
    assert carried.told() == [1, 2, 3, 4, 5]


def test_sinks_move_on_independently() -> None:
    carried = Carried()
    carried.alarms.add([alarm(1).alarm])
    asyncio.run(carried.delivery("one").step(0))
    asyncio.run(carried.delivery("two").step(0))
    assert carried.told() == [1, 1]


def test_a_failure_in_the_middle_of_a_page_keeps_what_was_taken() -> None:
    carried = Carried()
    carried.alarms.add([alarm(number).alarm for number in (1, 2, 3)])

    class Second(MemorySink):
        def tell(self, stored: StoredAlarm) -> None:
            self.down = stored.seq == 2
            super().tell(stored)

    carried.sink = Second()
    with pytest.raises(Unavailable):
        asyncio.run(carried.delivery().step(0))
    assert carried.cursors.cursor("sink") == 1


def test_alarms_about_one_key_are_one_incident_with_a_timeline() -> None:
    first, second = alarm(1), alarm(2, "key_of_other_realm", reporter="web", severity=Severity.HIGH)
    other = alarm(3, "first_seen_client", kid=None, severity=Severity.MEDIUM)
    key, client = gathered([first, second, other])
    assert (key.about, key.alarms, key.severity) == ("key " + "K" * 43, 2, Severity.CRITICAL)
    assert key.codes == {"never_issued": 1, "key_of_other_realm": 1}
    assert key.reporters == ["mail", "web"]
    assert [moment.seq for moment in key.timeline] == [1, 2]
    assert (client.about, client.alarms) == ("client mail-app", 1)


def test_a_day_of_silence_ends_an_incident() -> None:
    at = 1_800_000_000.0
    assert len(gathered([alarm(1, at=at), alarm(2, at=at + QUIET)])) == 1
    assert len(gathered([alarm(1, at=at), alarm(2, at=at + QUIET + 1)])) == 2


def test_an_incident_keeps_its_id_as_it_grows() -> None:
    alarms = [alarm(number) for number in range(1, 6)]
    assert {gathered(alarms[:count])[0].id for count in range(1, 6)} == {gathered(alarms)[0].id}
