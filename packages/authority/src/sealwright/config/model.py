"""The configuration as frozen values with their defaults, units and ceilings.

May hold no secret: the whole of it is printed by `sealwright config show` and written beside the state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

TOKEN_LIFETIME_CEILING = 3_600
"""Seconds. NIST IR 8587 asks for access tokens of one hour at the most."""
MANIFEST_LIFE_CEILING = 600
"""Seconds that a validator may go on without a fresh manifest."""
ADMISSION_LIFETIME_CEILING = 32 * 86_400
"""Seconds that an admission holds, more only where a profile lets keys live so long; see the rule
`admission_covers_keys`."""

KEY_HANDOVER = 30
"""Seconds by which a successor's window overlaps its predecessor's (the rule is in `keys.rules`)."""

Seconds = Annotated[int, msgspec.Meta(extra={"unit": "seconds"})]
"""A whole number of seconds; the file and the environment may also say "90s", "30m", "6h" or "14d"."""


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the public routes listen, and the URL that clients see."""

    host: str = "127.0.0.1"
    port: int = 8420
    public_url: str = ""

    @property
    def url(self) -> str:
        """Public base URL without a trailing slash; derived from host and port unless set."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


class StateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where everything that must survive a restart is kept."""

    directory: str = "state"

    @property
    def path(self) -> Path:
        """The state directory, absolute."""
        return Path(self.directory).expanduser().resolve()


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rotation, in seconds: how long a key signs, and how long it is published before that.

    `profile` names the ceilings that hold (`strict` or `nist-ir-8587`, see `profiles`).
    """

    profile: str = "strict"
    use: Seconds = 6 * 3_600
    lead: Seconds = 1_800
    skew: Seconds = 60


class ManifestConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds that a manifest lives; it is renewed at half of it."""

    life: Seconds = 60


class SignerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many signers run here, and those on other hosts: `address#key` each (docs/remote-signers.md)."""

    count: int = 1
    remote: tuple[str, ...] = ()


class CustodyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where private token keys live: in the signer's `memory`, or in a `pkcs11` token (docs/custody.md).

    The rest is for a token: the `module` (a library) behind which it is, its label `token`, the `pin_file`
    that holds its PIN, how many `sessions` sign at a time, the seconds of `patience` after which it counts as
    lost, the folders that the module writes in (`reach`), whether it talks to a `network`, and variables of
    its `environment`. With `objects` as `session` keys die with their signer; `token` stores them.
    """

    kind: str = "memory"
    module: str = ""
    token: str = ""
    pin_file: str = ""
    objects: str = "session"
    sessions: int = 4
    patience: Seconds = 10
    reach: tuple[str, ...] = ()
    network: bool = False
    environment: dict[str, str] = msgspec.field(default_factory=dict)


class AdmissionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What evidence a signer must show before it serves, and for how long (seconds) an appraisal holds.

    `evidence` is the least level that is admitted: `hardware`, `virtual-tpm`, `simulated` or `none`. The
    level that was really found is shown with every key, whatever is asked for here. `policy` is the file of
    the appraisal policy (docs/formats/attestation-policy.md); the two upper levels need one. It is followed
    while signers serve: where `changes` is `file`, a changed file counts; where it is `approved`, two
    operators must agree to the change first. `collector` says how a signer gets its evidence, with `:path`
    behind it where the device is elsewhere. `endorsements` is a folder of certificates, revocation lists and
    collateral for evidence that comes without; `shadow` the file of a second policy whose refusals are only
    recorded. `release` names, by purpose, the files of secrets that processes get whose evidence the policy
    accepts, for `lease` seconds. An incarnation proves itself again every `recheck` seconds; one that cannot
    is ended after `grace` seconds.
    """

    evidence: str = "none"
    lifetime: Seconds = 24 * 3_600
    policy: str = ""
    changes: str = "file"
    collector: str = "none"
    endorsements: str = ""
    shadow: str = ""
    release: dict[str, str] = msgspec.field(default_factory=dict)
    lease: Seconds = 60
    recheck: Seconds = 3_600
    grace: Seconds = 600


class WitnessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who cosigns heads before they are published: a policy file (docs/formats/witness.md), and for how long
    the publisher waits for an answer. Tokens never wait for it. `own`: whether the authority itself adds an
    ML-DSA-44 line to each published head.
    """

    policy: str = ""
    timeout: Seconds = 2
    own: bool = False


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long leaves and private records are kept (docs/ledger.md).

    `profile` is `default`, `m-21-31` or `ten-years`. `hot` and `keep` are seconds and can only be longer than
    the profile's; 0 is the profile's own. `cold` is the directory, or the URL of the object store (`s3://…`,
    `gs://…`, `az://…`), that old segments move to; `cold` in the state directory unless set. `access` is a
    private TOML file of what an object store is reached with. `archive` and `purge`: whether the authority
    itself moves what is old enough, and removes private records whose time is over, every `every` seconds.
    """

    profile: str = "default"
    hot: Seconds = 0
    keep: Seconds = 0
    cold: str = ""
    access: str = ""
    archive: bool = True
    purge: bool = False
    every: Seconds = 3_600

    @property
    def is_elsewhere(self) -> bool:
        """Whether cold storage is an object store."""
        return "://" in self.cold


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is written to `log/`: `debug`, `info`, `warning` or `error`."""

    level: str = "info"


class RealmConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer with its own scope. A key belongs to exactly one realm. Lifetimes in seconds.

    `tenancy` says for whom its keys sign: `multi-tenant`, `tenant-specific` or `on-premises`.
    """

    audiences: tuple[str, ...]
    algorithms: tuple[str, ...] = ("ES256",)
    token_types: tuple[str, ...] = ("at+jwt",)
    max_lifetime: Seconds = 3_600
    default_lifetime: Seconds = 600
    scopes: tuple[str, ...] = ()
    strict: bool = False
    tenancy: str = "multi-tenant"


class DemoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The demo clients and the two demo mail APIs."""

    enabled: bool = True
    guarded_port: int = 8421
    ordinary_port: int = 8422


class DetectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The search over history (extra `detect`).

    What is new goes to the lake every `every` seconds and is searched; observations stay in the database for
    `hot` seconds beside that. `lake` is the folder of the lake; `lake` in the state directory unless set.
    `nats` is the URL of a NATS server with JetStream that carries reports to whichever authority takes them
    out (extra `nats`), `nats_credentials` the file with this authority's credentials there.
    """

    lake: str = ""
    every: Seconds = 300
    hot: Seconds = 7 * 86_400
    nats: str = ""
    nats_credentials: str = ""


class AlarmsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where alarms go besides log, metrics and admin socket; each one that is named gets every alarm.

    `file` takes OCSF events, one a line. `webhook` is a URL that gets them signed with the secret that the
    file `webhook_secret` holds. `syslog` is `host:port` (TCP) or the path of a socket such as `/dev/log`.
    """

    file: str = ""
    webhook: str = ""
    webhook_secret: str = ""
    syslog: str = ""


class ResponseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far each response rule may go: `off`, `suggest` or `act`.

    A rule acts on contradictions only, and `most` times in `within` seconds; beyond that it suggests.
    """

    revoke_stolen_key: str = "suggest"
    strict_while_forged: str = "suggest"
    disable_harvesting_client: str = "suggest"
    end_reused_family: str = "suggest"
    most: int = 2
    within: Seconds = 3_600


class SignalsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Shared Signals transmitter.

    `audience` is what access tokens of receivers must be for; it must be an audience of a realm. Without one,
    receivers use the credentials of a registered reporter (HTTP Basic). A security event that a receiver has
    not acknowledged for `unacknowledged` seconds raises an alarm.
    """

    audience: str = ""
    unacknowledged: Seconds = 30


def _default_realms() -> dict[str, RealmConfig]:
    return {
        "consumer": RealmConfig(
            audiences=("https://mail.consumer.example",), scopes=("mail.read", "mail.send")
        ),
        "enterprise": RealmConfig(
            audiences=("https://mail.enterprise.example",), scopes=("mail.read", "mail.send")
        ),
    }


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    server: ServerConfig = ServerConfig()
    state: StateConfig = StateConfig()
    keys: KeyConfig = KeyConfig()
    manifest: ManifestConfig = ManifestConfig()
    signers: SignerConfig = SignerConfig()
    custody: CustodyConfig = CustodyConfig()
    admission: AdmissionConfig = AdmissionConfig()
    log: LogConfig = LogConfig()
    witness: WitnessConfig = WitnessConfig()
    retention: RetentionConfig = RetentionConfig()
    realms: dict[str, RealmConfig] = msgspec.field(default_factory=_default_realms)
    demo: DemoConfig = DemoConfig()
    detection: DetectionConfig = DetectionConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    response: ResponseConfig = ResponseConfig()
    signals: SignalsConfig = SignalsConfig()

    @property
    def lake(self) -> Path:
        """The folder of the detection lake, absolute."""
        named = self.detection.lake
        return Path(named).expanduser().resolve() if named else self.state.path / "lake"

    @property
    def cold(self) -> Path:
        """The directory of cold storage, absolute, where it is one."""
        named = self.retention.cold
        return Path(named).expanduser().resolve() if named else self.state.path / "cold"

    def issuer(self, realm: str) -> str:
        """Issuer identifier (`iss`) of a realm."""
        return f"{self.server.url}/{realm}"
