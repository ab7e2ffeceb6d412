"""Our own validator, by manifest and by plain key set. May never be configured in a way that users are not
told of.
"""

from typing import Final

from sealwright_validate.conformance.targets.model import Said, Setup, Verdict
from sealwright_validate.errors import Refused
from sealwright_validate.expect import Expect
from sealwright_validate.observe import library_version
from sealwright_validate.trust import Trust
from sealwright_validate.validate import Validator

OUR_NAME: Final = "sealwright-validate"


class Ours:
    """`sealwright_validate` with the key manifest, or with discovery and JWKS only."""

    def __init__(self, setup: Setup, *, manifest: bool) -> None:
        self.name = OUR_NAME if manifest else f"{OUR_NAME}, plain"
        self.version = library_version()
        self.knows_manifest = manifest
        if manifest:
            fed = Trust.fed(root=setup.root)
            fed.feed(setup.served)
            self._validator = Validator(trust=fed)
        else:
            self._validator = Validator(trust=Trust.oidc(setup.issuer))
        realm = setup.realm if manifest else ()
        self._expect = Expect(audience=setup.audience, realm=realm, token_types=setup.token_type)

    def judge(self, token: str) -> Said:
        """Put one token to it."""
        try:
            self._validator.validate(token, self._expect)
        except Refused as refusal:
            return Said(Verdict.REFUSED, refusal.reason.value)
        return Said(Verdict.ACCEPTED)

    def close(self) -> None:
        """Stop its threads."""
        self._validator.close()
