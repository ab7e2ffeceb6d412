"""Runs the suite: a scene at this very moment, its issuer on loopback, and every target in turn.

May never reuse a scene: keys and tokens end with the run.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.case import Case
from sealwright_validate.conformance.catalogue import all_cases
from sealwright_validate.conformance.grade import Table, column_of
from sealwright_validate.conformance.keys import compact_json
from sealwright_validate.conformance.scene import ALGORITHMS, AUDIENCE, REALM, Scene, make_scene
from sealwright_validate.conformance.server import LoopbackServer, Served
from sealwright_validate.conformance.targets.libraries import LIBRARIES, Library
from sealwright_validate.conformance.targets.model import Setup, Target, TargetAbsentError
from sealwright_validate.conformance.targets.ours import Ours
from sealwright_validate.conformance.targets.process import jose_on_node, spring_on_java
from sealwright_validate.conformance.targets.service import Service
from sealwright_validate.expect import ACCESS_TOKEN

MANIFEST_LIFE: Final = 600  # seconds; a run takes a fraction of it
OURS: Final = ("ours", "ours-plain")
BUILT_IN: Final = (*OURS, *LIBRARIES, "jose", "spring")


@contextmanager
def issuer_up(port: int = 0) -> Iterator[tuple[Scene, Setup]]:
    """A throw-away issuer on loopback: discovery, JWKS, root and manifest. Port 0 takes any free one."""
    served = Served()
    with LoopbackServer(served, port) as server:
        scene = make_scene(SYSTEM_CLOCK.wall(), server.url)
        authority, issuer = scene.authority, scene.issuer
        manifest = authority.served(life=MANIFEST_LIFE)
        served.roots, served.manifest = authority.roots, manifest
        discovery = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks.json",
            "id_token_signing_alg_values_supported": list(ALGORITHMS),
        }
        path, jwks = issuer.removeprefix(server.url), scene.jwks()
        for name in ("openid-configuration", "oauth-authorization-server"):
            served.documents[f"{path}/.well-known/{name}"] = compact_json(discovery)
        served.documents[f"{path}/jwks.json"] = compact_json(jwks)
        yield (
            scene,
            Setup(
                issuer=issuer,
                audience=AUDIENCE,
                realm=REALM,
                token_type=ACCESS_TOKEN,
                algorithms=ALGORITHMS,
                jwks=jwks,
                root=authority.roots[0],
                served=manifest,
                jwks_uri=f"{issuer}/jwks.json",
            ),
        )


def make_target(name: str, setup: Setup, cases: Mapping[str, Case], options: "Options") -> Target:
    """The target of this name, or the service at this address; raises TargetAbsentError."""
    if name in OURS:
        return Ours(setup, manifest=name == "ours")
    if name in LIBRARIES:
        distribution, make = LIBRARIES[name]
        return Library(distribution, make, setup)
    if name == "jose":
        return jose_on_node(setup, options.node_folder)
    if name == "spring":
        return spring_on_java(setup, options.java_folder)
    service = Service(name, knows_manifest=options.knows_manifest)
    service.wait_until_ready(cases["good_es256"].token, options.ready_within)
    return service


class Options:
    """How the run is to be done. `announce` is told what to configure before services are waited for."""

    def __init__(
        self,
        *,
        port: int = 0,
        node_folder: Path = Path(),
        java_folder: Path = Path(),
        knows_manifest: bool = False,
        ready_within: float = 30.0,
        announce: Callable[[Setup], None] | None = None,
    ) -> None:
        self.port = port
        self.node_folder = node_folder
        self.java_folder = java_folder
        self.knows_manifest = knows_manifest
        self.ready_within = ready_within
        self.announce = announce


def run(targets: list[str], options: Options) -> Table:
    """The table over these targets; a target that is absent is named with the reason."""
    columns, absent = [], {}
    with issuer_up(options.port) as (scene, setup):
        cases = all_cases(scene)
        if options.announce is not None:
            options.announce(setup)
        for name in targets:
            try:
                target = make_target(name, setup, cases, options)
            except TargetAbsentError as error:
                absent[name] = str(error)
                continue
            try:
                columns.append(column_of(target, list(cases.values())))
            finally:
                target.close()
        return Table(scene.now, list(cases.values()), columns, absent)
