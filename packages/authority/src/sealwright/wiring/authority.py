"""Builds the authority from a configuration: stores, rooms, routes. Starts nothing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route

from sealwright.admin.service import Auditor
from sealwright.admission.trust import root_version
from sealwright.clock import Clock
from sealwright.config import Config
from sealwright.detection import http as detection_http
from sealwright.detection import introspection
from sealwright.detection.adoption import Adoption, adoption
from sealwright.detection.feed import AlarmFeed
from sealwright.detection.history import KeyHistory
from sealwright.detection.judging import Judging
from sealwright.detection.metrics import DetectionMetrics
from sealwright.detection.service import Detector
from sealwright.detection.sinks import JsonLines
from sealwright.discovery import http as discovery_http
from sealwright.discovery.feed import ManifestFeed
from sealwright.discovery.metadata import RealmView
from sealwright.errors import Refused
from sealwright.issuer.events import GrantEvents
from sealwright.issuer.grants import GRANTS
from sealwright.issuer.http import PATH_SUFFIX, TokenEndpoint
from sealwright.issuer.model import RealmPolicy
from sealwright.issuer.ports import SigningPort
from sealwright.issuer.service import Issuer
from sealwright.keys.announced import unannounced
from sealwright.keys.model import Key, KeyPolicy, Manifest
from sealwright.keys.service import KeyService
from sealwright.ledger import http as ledger_http
from sealwright.ledger.files import LedgerFiles
from sealwright.ledger.log_list import LogLists
from sealwright.ledger.model import Place
from sealwright.ledger.publisher import Publisher
from sealwright.ledger.receipts import Receipts
from sealwright.ledger.service import Ledger
from sealwright.wiring.canaries import Canaries
from sealwright.wiring.clients import CachedClients, ReporterCredentials
from sealwright.wiring.figures import Figures
from sealwright.wiring.keywatch import KeyFigures, KeyWatch
from sealwright.wiring.log_list import StoredListing
from sealwright.wiring.receivers import Receivers
from sealwright.wiring.response import Answers, Given
from sealwright.wiring.selfcheck import SelfCheck
from sealwright.wiring.signers import SignerManager
from sealwright.wiring.stores import Stores
from sealwright.wiring.trail import TrailWatch
from sealwright.wiring.transport import transport
from sealwright.wiring.witnessing import Witnessing

if TYPE_CHECKING:
    from sealwright.detection.jetstream import JetStreamTransport

HELD = 8.0
"""Seconds that a token request is held while its signer is replaced."""
App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


def key_policies(config: Config) -> list[KeyPolicy]:
    """One policy per realm and algorithm, the realm's preferred algorithm first."""
    return [
        KeyPolicy(
            realm=name,
            algorithm=algorithm,
            use=config.keys.use,
            lead=config.keys.lead,
            skew=config.keys.skew,
            max_lifetime=realm.max_lifetime,
            manifest_life=config.manifest.life,
        )
        for name, realm in sorted(config.realms.items())
        for algorithm in realm.algorithms
    ]


@dataclass(frozen=True, slots=True)
class Authority:
    """The rooms of one authority process."""

    stores: Stores
    publisher: Publisher
    witnessing: Witnessing
    files: LedgerFiles
    receipts: Receipts
    lists: LogLists
    ledger: Ledger
    keys: KeyService
    issuer: Issuer
    signers: SignerManager
    detector: Detector
    transport: JetStreamTransport | None
    alarms: AlarmFeed
    manifests: ManifestFeed
    clients: CachedClients
    auditor: Auditor
    registry: CollectorRegistry
    figures: Figures
    answers: Answers
    keywatch: KeyWatch
    trail: TrailWatch
    selfcheck: SelfCheck

    @classmethod
    def build(cls, config: Config, clock: Clock) -> Authority:
        """Connect every room with what stands behind its ports."""
        stores = Stores.open(config, clock)
        files = LedgerFiles(config.state.path / "ledger", stores.cold)
        registry = CollectorRegistry()
        witnessing = Witnessing.of(config, clock, files, stores.alarms, registry)
        publisher = Publisher(
            stores.ledger,
            files.hot,
            afterwards=stores.digests.try_keep_up,
            cosign=witnessing.cosign,
            again=witnessing.waiting,
        )
        receipts = Receipts(stores.ledger, files, stores.digests)
        ledger = Ledger(stores.ledger, clock, publisher.committed)
        strict = {name for name, realm in config.realms.items() if realm.strict} | set(stores.strict.raised())
        policies, announced = key_policies(config), stores.ledger.leaf
        keys = KeyService(policies, stores.keys, stores.admissions, clock, announced, sorted(strict))
        clients = CachedClients(stores.clients, clock)
        trust = config.state.path / "trust"
        selfcheck = SelfCheck(trust / "root.json", clock, ledger)
        issuer = Issuer(
            _realms(config),
            clients,
            stores.replay,
            _signing_key(keys),
            selfcheck.require_valid,
            clock,
            HELD,
            GrantEvents.made(config.state.path).marked,
        )
        metrics = DetectionMetrics(registry)
        detector, alarms = _detection(stores, clock, metrics)
        manifests = ManifestFeed()
        keys.on_manifest(_publish_to(manifests, root_version(trust), selfcheck))
        run = config.state.path / "run"
        auditor = Auditor(stores.audit, clock, keys)
        signers = SignerManager(run, ledger, stores.ledger, keys, issuer, auditor)
        receivers = Receivers(config, clients, selfcheck)
        answers = Answers(
            Given(config, clock, stores, keys, alarms, metrics, registry, auditor, receivers, clients.forget)
        )
        keys.on_manifest(lambda _manifest: answers.transmitter.wake())
        KeyFigures.register(registry, stores, policies, clock)
        return cls(
            stores=stores,
            publisher=publisher,
            witnessing=witnessing,
            files=files,
            receipts=receipts,
            lists=LogLists(
                stores.lists,
                StoredListing(stores.admissions, stores.ledger, files),
                keys.statement,
                receipts.at,
                clock,
                files.hot,
                config.server.url,
                root_version(trust),
            ),
            ledger=ledger,
            keys=keys,
            issuer=issuer,
            signers=signers,
            detector=detector,
            transport=transport(config, detector, metrics),
            alarms=alarms,
            manifests=manifests,
            clients=clients,
            auditor=auditor,
            registry=registry,
            figures=Figures(registry, clock.now()),
            answers=answers,
            keywatch=KeyWatch(stores, policies, clock, alarms, metrics),
            trail=TrailWatch(auditor, stores.alarms, clock, alarms, metrics),
            selfcheck=selfcheck,
        )

    def token_endpoint(self) -> TokenEndpoint:
        """`POST /{realm}/oauth2/token` of all realms."""
        return TokenEndpoint(self.issuer, self.figures.token_request)

    def public_app(self, config: Config, clock: Clock) -> App:
        """The public routes: the token endpoint below the framework, the rest in it."""
        views = {
            name: RealmView(
                name=name,
                issuer=config.issuer(name),
                scopes=realm.scopes,
                grants=tuple(GRANTS),
                algorithms=realm.algorithms,
            )
            for name, realm in config.realms.items()
        }
        state = config.state.path
        rest = Starlette(
            routes=[
                *discovery_http.manifest_routes(self.manifests, state / "trust"),
                *discovery_http.admission_routes(self._admission),
                *discovery_http.check_routes(self.ledger, self._revoked),
                *ledger_http.routes(self.receipts, self.files, self._announced),
                *detection_http.routes(self.transport or self.detector, ReporterCredentials(self.clients)),
                *self._introspection(clock),
                *self.answers.public_routes(),
                *discovery_http.realm_routes(
                    views,
                    self._vouched_keys,
                    clock,
                    config.keys.lead,
                    self.figures.jwks_fetched,
                ),
            ]
        )
        token = self.token_endpoint()

        async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"].endswith(PATH_SUFFIX):
                await token(scope, receive, send)
            else:
                await rest(scope, receive, send)

        return app

    def adoption(self, config: Config, now: float) -> Adoption:
        """Who validates with the standard validator, since this process started."""
        audiences = {name: realm.audiences for name, realm in config.realms.items()}
        store, figures = self.stores.observations, self.figures
        return adoption(
            audiences,
            store.validators(),
            store.seen_audiences(figures.since),
            figures.issued,
            figures.fetches,
            since=figures.since,
            now=now,
        )

    def _introspection(self, clock: Clock) -> list[Route]:
        def issued(jti: str, digest: str, kid: str) -> bool:
            return self.ledger.check(jti, digest, kid).reason is None

        asked = introspection.Introspection(self.selfcheck, issued, self.detector, clock)
        return introspection.routes(asked, ReporterCredentials(self.clients).relying_party)

    def _announced(self, kid: str) -> Place:
        key = self.stores.keys.get(kid)
        if key is None:
            raise Refused("unknown_key", "no key with this id was announced")
        return Place(key.log_id, key.ledger_index)

    def _admission(self, log_id: str) -> dict[str, str] | None:
        found = self.stores.admissions.get(log_id)
        return {"statement": found.statement, "result": found.result} if found else None

    def _vouched_keys(self) -> list[Key]:
        """Keys that the ledger vouches for: what somebody wrote past the signers is published nowhere."""
        leaf = self.stores.ledger.leaf
        return [key for key in self.stores.keys.unretired() if unannounced(key, leaf) is None]

    def _revoked(self, kid: str) -> bool:
        key = self.stores.keys.get(kid)
        return key is None or (key.state == "revoked" and key.issued_before is None)


def _realms(config: Config) -> dict[str, RealmPolicy]:
    return {
        name: RealmPolicy(name, config.issuer(name), realm.default_lifetime, realm.max_lifetime)
        for name, realm in config.realms.items()
    }


def _signing_key(keys: KeyService) -> Callable[[str], tuple[SigningPort, str]]:
    def choose(realm: str) -> tuple[SigningPort, str]:
        signer, key = keys.signing_key(realm)
        return signer, key.kid

    return choose


def _detection(stores: Stores, clock: Clock, metrics: DetectionMetrics) -> tuple[Detector, AlarmFeed]:
    judging = Judging(
        stores.observations,
        stores.alarms,
        stores.sight,
        KeyHistory(stores.keys),
        clock,
        metrics,
        [JsonLines(sys.stderr)],
        Canaries(stores.canaries),
    )
    feed = AlarmFeed(stores.alarms)
    return Detector(judging, feed, metrics), feed


def _publish_to(feed: ManifestFeed, root: int, selfcheck: SelfCheck) -> Callable[[Manifest], None]:
    def publish(manifest: Manifest) -> None:
        document = {"root_version": root, "admission": manifest.admission, "manifest": manifest.jws}
        served = msgspec.json.encode(document)
        selfcheck.feed(served)
        feed.publish(manifest.version, served)

    return publish
