"""What the operator decides, as frozen values.

`model` holds the values and their defaults, `load` reads them (TOML file, then environment), `rules` says
which may run, `signer_policy` derives the policy that a signer is started with. `environment` is the only
place of the authority that reads environment variables.

Defaults run the product on a laptop. A value here can only tighten what code and signer allow; no value
switches a check off, and nothing in this package may ever start one or hold a secret.
"""

from sealwright.config.environment import child_environment, environment
from sealwright.config.load import Source, load, load_effective, write_effective
from sealwright.config.model import (
    ADMISSION_LIFETIME_CEILING,
    KEY_HANDOVER,
    MANIFEST_LIFE_CEILING,
    TOKEN_LIFETIME_CEILING,
    AdmissionConfig,
    AlarmsConfig,
    Config,
    CustodyConfig,
    DemoConfig,
    DetectionConfig,
    KeyConfig,
    LogConfig,
    ManifestConfig,
    RealmConfig,
    ResponseConfig,
    RetentionConfig,
    ServerConfig,
    SignalsConfig,
    SignerConfig,
    StateConfig,
)
from sealwright.config.named import require_files
from sealwright.config.problem import Problem
from sealwright.config.rules import problems, require_runnable
from sealwright.config.signer_policy import origin_prefix, released_pin, signer_policy

__all__ = [
    "ADMISSION_LIFETIME_CEILING",
    "KEY_HANDOVER",
    "MANIFEST_LIFE_CEILING",
    "TOKEN_LIFETIME_CEILING",
    "AdmissionConfig",
    "AlarmsConfig",
    "Config",
    "CustodyConfig",
    "DemoConfig",
    "DetectionConfig",
    "KeyConfig",
    "LogConfig",
    "ManifestConfig",
    "Problem",
    "RealmConfig",
    "ResponseConfig",
    "RetentionConfig",
    "ServerConfig",
    "SignalsConfig",
    "SignerConfig",
    "Source",
    "StateConfig",
    "child_environment",
    "environment",
    "load",
    "load_effective",
    "origin_prefix",
    "problems",
    "released_pin",
    "require_files",
    "require_runnable",
    "signer_policy",
    "write_effective",
]
