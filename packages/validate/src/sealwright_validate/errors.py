"""What can go wrong: one stable reason code each, a sentence that is safe to show, and a private detail.

May never put anything of a token into a public sentence: the sentences are constants.
"""
# ruff: noqa: S105 - these are reason codes, not passwords

from collections.abc import Mapping
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final


@unique
class Reason(StrEnum):
    """Why a token or a trust document was refused. The values are a wire contract: they never change."""

    # the request
    TOKEN_MISSING = "token_missing"
    TOKEN_AMBIGUOUS = "token_ambiguous"
    # the form of the token
    TOKEN_TOO_LARGE = "token_too_large"
    TOKEN_MALFORMED = "token_malformed"
    DUPLICATE_MEMBER = "duplicate_member"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    CRITICAL_HEADER = "critical_header"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    ALGORITHM_MISMATCH = "algorithm_mismatch"
    KID_MALFORMED = "kid_malformed"
    # the key
    UNKNOWN_KEY = "unknown_key"
    KEY_RETIRED = "key_retired"
    KEY_REVOKED = "key_revoked"
    KEY_NOT_YET_ACTIVE = "key_not_yet_active"
    KEY_OUTSIDE_WINDOW = "key_outside_window"
    KEY_OF_OTHER_REALM = "key_of_other_realm"
    KEY_CHANGED = "key_changed"
    KEY_SHARED = "key_shared"
    KEY_UNUSABLE = "key_unusable"
    EVIDENCE_TOO_LOW = "evidence_too_low"
    SIGNATURE_INVALID = "signature_invalid"
    # the freshness of what is trusted
    KEYS_UNAVAILABLE = "keys_unavailable"
    MANIFEST_STALE = "manifest_stale"
    MANIFEST_ROLLED_BACK = "manifest_rolled_back"
    MANIFEST_MALFORMED = "manifest_malformed"
    MANIFEST_NOT_TRUSTED = "manifest_not_trusted"
    MANIFEST_INCONSISTENT = "manifest_inconsistent"
    ADMISSION_NOT_TRUSTED = "admission_not_trusted"
    ROOT_NOT_TRUSTED = "root_not_trusted"
    ROOT_EXPIRED = "root_expired"
    # the claims
    TYPE_NOT_ALLOWED = "type_not_allowed"
    ISSUER_NOT_ALLOWED = "issuer_not_allowed"
    AUDIENCE_NOT_ALLOWED = "audience_not_allowed"
    CLAIM_MISSING = "claim_missing"
    CLAIM_MALFORMED = "claim_malformed"
    JTI_MALFORMED = "jti_malformed"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    LIFETIME_NOT_ALLOWED = "lifetime_not_allowed"
    SCOPE_INSUFFICIENT = "scope_insufficient"
    # proof of possession
    PROOF_MISSING = "proof_missing"
    PROOF_INVALID = "proof_invalid"
    PROOF_REPLAYED = "proof_replayed"
    PROOF_NONCE_REQUIRED = "proof_nonce_required"
    PROOF_UNCERTAIN = "proof_uncertain"
    CERTIFICATE_MISSING = "certificate_missing"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    BINDING_MISSING = "binding_missing"
    BINDING_NOT_UNDERSTOOD = "binding_not_understood"
    # the ledger
    RECEIPT_MISSING = "receipt_missing"
    RECEIPT_INVALID = "receipt_invalid"
    RECEIPT_NOT_WITNESSED = "receipt_not_witnessed"
    LEDGER_SPLIT_VIEW = "ledger_split_view"
    NEVER_ISSUED = "never_issued"
    TOKEN_REVOKED = "token_revoked"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    LOG_LIST_NOT_TRUSTED = "log_list_not_trusted"
    LOG_LIST_ROLLED_BACK = "log_list_rolled_back"
    LOG_LIST_STALE = "log_list_stale"
    KEY_NOT_ANNOUNCED = "key_not_announced"


_UNTRUSTED_DOCUMENT: Final = "The keys of the issuer could not be verified."

PUBLIC_SENTENCES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.TOKEN_MISSING: "A bearer token is required.",
        Reason.TOKEN_AMBIGUOUS: "More than one token was presented.",
        Reason.TOKEN_TOO_LARGE: "The token is too large.",
        Reason.TOKEN_MALFORMED: "The token is malformed.",
        Reason.DUPLICATE_MEMBER: "The token contains a member twice.",
        Reason.HEADER_NOT_ALLOWED: "The token has a header parameter that is not allowed.",
        Reason.CRITICAL_HEADER: "The token has a critical header parameter that is not understood.",
        Reason.ALGORITHM_NOT_ALLOWED: "The algorithm of the token is not allowed.",
        Reason.ALGORITHM_MISMATCH: "The algorithm of the token is not that of its key.",
        Reason.KID_MALFORMED: "The key id of the token is missing or malformed.",
        Reason.UNKNOWN_KEY: "The key of the token is unknown.",
        Reason.KEY_RETIRED: "The key of the token is retired.",
        Reason.KEY_REVOKED: "The key of the token is revoked.",
        Reason.KEY_NOT_YET_ACTIVE: "The key of the token is not active yet.",
        Reason.KEY_OUTSIDE_WINDOW: "The token lies outside the time window of its key.",
        Reason.KEY_OF_OTHER_REALM: "The key of the token belongs to another issuer.",
        Reason.KEY_CHANGED: "The key of the token is not the one first seen under its id.",
        Reason.KEY_SHARED: "The key of the token is shared between issuers.",
        Reason.KEY_UNUSABLE: "The key of the token cannot be used.",
        Reason.EVIDENCE_TOO_LOW: "The key of the token is not protected as required.",
        Reason.SIGNATURE_INVALID: "The signature of the token is invalid.",
        Reason.KEYS_UNAVAILABLE: "The keys of the issuer are not available.",
        Reason.MANIFEST_STALE: "The keys of the issuer are out of date.",
        Reason.MANIFEST_ROLLED_BACK: "The keys of the issuer are older than ones already seen.",
        Reason.MANIFEST_MALFORMED: _UNTRUSTED_DOCUMENT,
        Reason.MANIFEST_NOT_TRUSTED: _UNTRUSTED_DOCUMENT,
        Reason.MANIFEST_INCONSISTENT: _UNTRUSTED_DOCUMENT,
        Reason.ADMISSION_NOT_TRUSTED: _UNTRUSTED_DOCUMENT,
        Reason.ROOT_NOT_TRUSTED: _UNTRUSTED_DOCUMENT,
        Reason.ROOT_EXPIRED: _UNTRUSTED_DOCUMENT,
        Reason.TYPE_NOT_ALLOWED: "The type of the token is not allowed.",
        Reason.ISSUER_NOT_ALLOWED: "The issuer of the token is not accepted.",
        Reason.AUDIENCE_NOT_ALLOWED: "The token is not meant for this service.",
        Reason.CLAIM_MISSING: "The token lacks a required claim.",
        Reason.CLAIM_MALFORMED: "A claim of the token is malformed.",
        Reason.JTI_MALFORMED: "The id of the token is malformed.",
        Reason.TOKEN_EXPIRED: "The token has expired.",
        Reason.TOKEN_NOT_YET_VALID: "The token is not valid yet.",
        Reason.ISSUED_IN_FUTURE: "The token was issued in the future.",
        Reason.LIFETIME_NOT_ALLOWED: "The token lives longer than its key allows.",
        Reason.SCOPE_INSUFFICIENT: "The token lacks a required scope.",
        Reason.PROOF_MISSING: "The token is bound to a key, and no proof of its possession was sent.",
        Reason.PROOF_INVALID: "The proof of possession is invalid.",
        Reason.PROOF_REPLAYED: "The proof of possession was used before.",
        Reason.PROOF_NONCE_REQUIRED: "The proof of possession needs the nonce of this service.",
        Reason.PROOF_UNCERTAIN: "It cannot be established now whether the proof was used before.",
        Reason.CERTIFICATE_MISSING: "The token is bound to a client certificate, and none was presented.",
        Reason.CERTIFICATE_MISMATCH: "The token is bound to another client certificate.",
        Reason.BINDING_MISSING: "The token is not bound to a key in the way that this service demands.",
        Reason.BINDING_NOT_UNDERSTOOD: "The token is bound in a way that is not understood.",
        Reason.RECEIPT_MISSING: "A receipt for the token is required.",
        Reason.RECEIPT_INVALID: "The receipt does not prove that the token is in the ledger.",
        Reason.RECEIPT_NOT_WITNESSED: "The receipt lacks the cosignatures that this service demands.",
        Reason.LEDGER_SPLIT_VIEW: "The ledger has shown different versions of itself.",
        Reason.NEVER_ISSUED: "The token was never issued.",
        Reason.TOKEN_REVOKED: "The token is revoked.",
        Reason.LEDGER_UNAVAILABLE: "It cannot be established now whether the token was issued.",
        Reason.LOG_LIST_NOT_TRUSTED: "The list of logs could not be verified.",
        Reason.LOG_LIST_ROLLED_BACK: "The list of logs takes back what an earlier one said.",
        Reason.LOG_LIST_STALE: "The list of logs is out of date.",
        Reason.KEY_NOT_ANNOUNCED: "The ledger does not prove that the key was announced.",
    }
)


class Refused(Exception):
    """The input was refused.

    `reason` is stable, `public` may be shown to the caller, `detail` is for the log only: it may quote
    untrusted input, though never a signature.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason: Final = reason
        self.detail: Final = detail

    @property
    def public(self) -> str:
        """A sentence that is safe to show to whoever presented the token."""
        return PUBLIC_SENTENCES[self.reason]


class Unavailable(Exception):
    """Something this side depends on did not answer in time or answered wrongly; trying again may help."""


class Misconfigured(Exception):
    """The program that uses this package asked for something that must not be; found at start."""
