"""Which settings of detection, alarms, response and signals may run. Pure.

A response rule can be held back here and never made to act on more than contradictions; a secret is named by
its file and never written down here.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sealwright.config.model import Config
from sealwright.config.problem import Problem, between

MODES = ("off", "suggest", "act")
RULES = ("revoke_stolen_key", "strict_while_forged", "disable_harvesting_client", "end_reused_family")
EVERY_FLOOR, EVERY_CEILING = 10, 3_600
HOT_FLOOR, HOT_CEILING = 3_600, 180 * 86_400
WITHIN_FLOOR, WITHIN_CEILING = 60, 86_400
UNACKNOWLEDGED_FLOOR, UNACKNOWLEDGED_CEILING = 2, 3_600
MOST_CEILING = 100
PORT_CEILING = 65_535
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def answer_problems(config: Config) -> Iterator[Problem]:
    """Every broken rule of the four sections."""
    detection = config.detection
    yield from between("detection.every", detection.every, EVERY_FLOOR, EVERY_CEILING, "detection_every")
    yield from between("detection.hot", detection.hot, HOT_FLOOR, HOT_CEILING, "detection_hot")
    if detection.nats:
        yield from _nats(detection.nats)
    yield from _alarms(config)
    yield from _response(config)
    yield from _signals(config)


def _nats(url: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"nats", "tls"} or not host or parts.username is not None:
        yield Problem(
            "nats", "detection.nats", f'"{url}" is no NATS URL without a user', 'write "tls://host:4222"'
        )
    elif parts.scheme == "nats" and host not in LOOPBACK:
        yield Problem("nats", "detection.nats", "plain nats shows every report to the network", "use tls")


def _alarms(config: Config) -> Iterator[Problem]:
    alarms = config.alarms
    if alarms.webhook:
        yield from _webhook(alarms.webhook)
    if bool(alarms.webhook) != bool(alarms.webhook_secret):
        yield Problem(
            "webhook_secret",
            "alarms.webhook_secret",
            "a webhook and its secret come together",
            "name both: the URL, and a file with at least 24 random bytes that the receiver knows too",
        )
    if alarms.syslog and not alarms.syslog.startswith("/") and not _is_address(alarms.syslog):
        yield Problem(
            "syslog",
            "alarms.syslog",
            f'"{alarms.syslog}" is neither a socket nor an address',
            'write "/dev/log" or "host:port"',
        )


def _webhook(url: str) -> Iterator[Problem]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        yield Problem("webhook", "alarms.webhook", f'"{url}" is no URL without a user', 'write "https://…"')
    elif parts.scheme == "http" and host not in LOOPBACK:
        yield Problem("webhook", "alarms.webhook", "plain http shows every alarm to the network", "use https")


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) <= PORT_CEILING


def _response(config: Config) -> Iterator[Problem]:
    response = config.response
    for rule in RULES:
        mode = getattr(response, rule)
        if mode not in MODES:
            yield Problem(
                "response_mode",
                f"response.{rule}",
                f'"{mode}" is no way to respond',
                f"use one of {', '.join(MODES)}",
            )
    if not 1 <= response.most <= MOST_CEILING:
        yield Problem(
            "response_most",
            "response.most",
            f"{response.most} is outside 1 to {MOST_CEILING}",
            "a rule without a limit lets a detector gone wrong switch the service off",
        )
    yield from between("response.within", response.within, WITHIN_FLOOR, WITHIN_CEILING, "response_within")


def _signals(config: Config) -> Iterator[Problem]:
    signals = config.signals
    known = {audience for realm in config.realms.values() for audience in realm.audiences}
    if signals.audience and signals.audience not in known:
        yield Problem(
            "signals_audience",
            "signals.audience",
            f'no realm issues tokens for "{signals.audience}"',
            "add it to the audiences of a realm, or leave it empty",
        )
    yield from between(
        "signals.unacknowledged",
        signals.unacknowledged,
        UNACKNOWLEDGED_FLOOR,
        UNACKNOWLEDGED_CEILING,
        "signals_unacknowledged",
    )
