"""The three ways this package says no, and the reason codes that stay the same from release to release.

It may never put private detail (bytes of evidence, exception text of a library) into the public text of a
refusal: that text is shown to the party whose evidence was refused.
"""

from enum import StrEnum


class Code(StrEnum):
    """Stable reason codes. A code is never renamed and never reused; docs/formats/attestation-result.md lists
    them.
    """

    # Form: the bytes are not what they claim to be.
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    VERSION_UNKNOWN = "version-unknown"
    KIND_MISMATCH = "kind-mismatch"
    # Genuineness: the vendor did not say this.
    ENDORSEMENT_MISSING = "endorsement-missing"
    ENDORSEMENT_MISMATCH = "endorsement-mismatch"
    CHAIN_UNTRUSTED = "chain-untrusted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CRL_MISSING = "crl-missing"
    CRL_EXPIRED = "crl-expired"
    SIGNATURE_INVALID = "signature-invalid"
    COLLATERAL_INVALID = "collateral-invalid"
    COLLATERAL_EXPIRED = "collateral-expired"
    COLLATERAL_NOT_YET_VALID = "collateral-not-yet-valid"
    COLLATERAL_MISMATCH = "collateral-mismatch"
    HASH_MISMATCH = "hash-mismatch"
    AK_UNTRUSTED = "ak-untrusted"
    AK_UNFIT = "ak-unfit"
    PCR_BANK = "pcr-bank"
    PCR_SELECTION = "pcr-selection"
    PCR_DIGEST = "pcr-digest"
    EVENT_LOG_LEGACY = "event-log-legacy"
    EVENT_LOG_MISMATCH = "event-log-mismatch"
    # Freshness and binding: it was said, but not now, or not about this key.
    NONCE_MISSING = "nonce-missing"
    NONCE_MISMATCH = "nonce-mismatch"
    BINDING_MISSING = "binding-missing"
    BINDING_MISMATCH = "binding-mismatch"
    STALE = "stale"
    REBOOTED = "rebooted"
    # Policy: it is genuine, and not what was asked for.
    PLATFORM_REFUSED = "platform-refused"
    LEVEL_TOO_LOW = "level-too-low"
    PRODUCT_REFUSED = "product-refused"
    SIGNING_KEY_REFUSED = "signing-key-refused"
    PROVIDER_REFUSED = "provider-refused"
    INSTANCE_REFUSED = "instance-refused"
    REPORT_VERSION_REFUSED = "report-version-refused"
    DEBUG = "debug"
    MIGRATION = "migration"
    VMPL = "vmpl"
    GUEST_POLICY = "guest-policy"
    PLATFORM_INFO = "platform-info"
    TD_ATTRIBUTES = "td-attributes"
    SERVICE_TD = "service-td"
    TCB_UNKNOWN = "tcb-unknown"
    TCB_STATUS = "tcb-status"
    TCB_FLOOR = "tcb-floor"
    COLLATERAL_TOO_OLD = "collateral-too-old"
    ADVISORY_REFUSED = "advisory-refused"
    MEASUREMENT_UNKNOWN = "measurement-unknown"
    MEASUREMENT_REVOKED = "measurement-revoked"
    IMAGE_SIGNER_UNKNOWN = "image-signer-unknown"
    HOST_DATA = "host-data"
    CONFIGURATION = "configuration"
    PCR_VALUE = "pcr-value"
    EVENT_LOG_MISSING = "event-log-missing"
    RELEASE_CONDITION = "release-condition"


FIXES: dict[Code, str] = {
    Code.MALFORMED: "collect the evidence again; send the bytes exactly as the platform returned them",
    Code.TOO_LARGE: "send only the evidence of one appraisal",
    Code.VERSION_UNKNOWN: "upgrade the verifier, or collect with a firmware that speaks a known version",
    Code.KIND_MISMATCH: "name the platform that the evidence comes from",
    Code.ENDORSEMENT_MISSING: (
        "send the vendor's endorsement with the evidence, or add it to the offline bundle"
    ),
    Code.ENDORSEMENT_MISMATCH: "fetch the endorsement for this very chip and TCB",
    Code.CHAIN_UNTRUSTED: "only chains to the pinned vendor roots (or roots named in the policy) are trusted",
    Code.CERTIFICATE_EXPIRED: "fetch the certificate again; check the time passed as now",
    Code.CERTIFICATE_NOT_YET_VALID: "check the time passed as now",
    Code.CERTIFICATE_REVOKED: "the vendor revoked this key: replace the platform",
    Code.CRL_MISSING: "add the vendor's revocation list to the endorsements",
    Code.CRL_EXPIRED: "fetch the vendor's revocation list again",
    Code.SIGNATURE_INVALID: "the evidence was altered or belongs to another key: collect it again",
    Code.COLLATERAL_INVALID: "fetch the collateral again from the vendor",
    Code.COLLATERAL_EXPIRED: "fetch the collateral again; it lives thirty days",
    Code.COLLATERAL_NOT_YET_VALID: "check the time passed as now; the collateral is newer than it",
    Code.COLLATERAL_MISMATCH: "fetch the collateral for this platform's FMSPC",
    Code.HASH_MISMATCH: "the inner document was altered after the hardware report was made: collect again",
    Code.AK_UNTRUSTED: "enrol the attestation key, activate it against its EK, or send its certificate chain",
    Code.AK_UNFIT: "create the key restricted, signing, fixedTPM, fixedParent, sensitiveDataOrigin",
    Code.PCR_BANK: "quote exactly one bank, sha256",
    Code.PCR_SELECTION: "quote every PCR that the policy reads",
    Code.PCR_DIGEST: "send the PCR values as they were at the quote",
    Code.EVENT_LOG_LEGACY: "boot with firmware that writes the crypto-agile (TCG 2.0) log",
    Code.EVENT_LOG_MISMATCH: "send the log of this boot, complete and unaltered",
    Code.NONCE_MISSING: "ask for a nonce and appraise with it",
    Code.NONCE_MISMATCH: "collect the evidence again with the nonce of this appraisal",
    Code.BINDING_MISSING: "send the identity key that the evidence is bound to",
    Code.BINDING_MISMATCH: "collect the evidence again over the nonce and this identity key",
    Code.STALE: "collect the evidence again",
    Code.REBOOTED: "the machine restarted since it was admitted: admit it again",
    Code.PLATFORM_REFUSED: "run on a platform that the policy names",
    Code.LEVEL_TOO_LOW: (
        "run where the asked evidence level exists; no simulated or virtual root passes as hardware"
    ),
    Code.PRODUCT_REFUSED: "run on a product that the policy names",
    Code.SIGNING_KEY_REFUSED: "use the endorsement key type that the policy names",
    Code.PROVIDER_REFUSED: "run at a provider that the policy names",
    Code.INSTANCE_REFUSED: "add this chip or instance to the policy, or run on one that is listed",
    Code.REPORT_VERSION_REFUSED: "update the platform firmware",
    Code.DEBUG: "start the guest without debug: with it the host can read the guest's memory",
    Code.MIGRATION: "start the guest without a migration agent, or pin its author key",
    Code.VMPL: "take the report at the privilege level that the policy names",
    Code.GUEST_POLICY: "start the guest with the policy bits that are asked for",
    Code.PLATFORM_INFO: "change the host's firmware settings",
    Code.TD_ATTRIBUTES: "start the TD with the attributes that are asked for",
    Code.SERVICE_TD: "start the TD without a service TD, or name it in the policy",
    Code.TCB_UNKNOWN: "update the platform: no level of the vendor's list matches",
    Code.TCB_STATUS: "update the platform's microcode and firmware",
    Code.TCB_FLOOR: "update the platform's firmware up to the floor",
    Code.COLLATERAL_TOO_OLD: "fetch the vendor's current collateral",
    Code.ADVISORY_REFUSED: "apply the update that the advisory names",
    Code.MEASUREMENT_UNKNOWN: (
        "add the measurement of this image to the policy after checking where it comes from"
    ),
    Code.MEASUREMENT_REVOKED: "replace the image by one without the known hole",
    Code.IMAGE_SIGNER_UNKNOWN: "sign the image with a key that the policy names",
    Code.HOST_DATA: "start the guest with the host data that the policy names",
    Code.CONFIGURATION: "start the machine with the configuration that is asked for",
    Code.PCR_VALUE: "boot the software that the policy names, or add the new values after checking them",
    Code.EVENT_LOG_MISSING: "send the event log with the evidence",
    Code.RELEASE_CONDITION: "meet every claim of one branch of the release policy",
}


class Refused(Exception):
    """The evidence, or whoever sent it, is at fault.

    Attributes:
        code: stable reason code.
        public: text that is safe to show to the sender.
        detail: what an operator may read in a log; never shown to the sender.
    """

    def __init__(self, code: Code, public: str, detail: str = "") -> None:
        super().__init__(f"{code}: {public}")
        self.code = code
        self.public = public
        self.detail = detail


class Misconfigured(Exception):
    """The verifier's own side is at fault: a policy document, an anchor file, an argument."""
