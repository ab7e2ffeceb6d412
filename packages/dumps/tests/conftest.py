"""Keys made at run time. No key is ever committed."""

from __future__ import annotations

import pytest

from sealwright_dumps.corpus.build import Site, make_site
from sealwright_dumps.corpus.keys import Keys, make_keys
from sealwright_dumps.scanner import Settings


@pytest.fixture(scope="session")
def keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="session")
def site() -> Site:
    return make_site()


@pytest.fixture(scope="session")
def knowing(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a scanner that was given the site's fingerprints and public keys."""
    fingerprints, public_keys = site.write_knowledge(tmp_path_factory.mktemp("knowledge"))
    return Settings(workers=1, fingerprints=(fingerprints,), public_keys=public_keys)
