"""Keys made at run time. No key is ever committed."""

from __future__ import annotations

import pytest

from sealwright_dumps.corpus.keys import Keys, make_keys


@pytest.fixture(scope="session")
def keys() -> Keys:
    return make_keys()
