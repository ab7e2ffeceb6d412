"""Every code's expression. A test asserts that catalogue and expressions name the same codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ibis.expr.types as ir

from sealwright.detection.catalogue import behaviour, forgery, service, theft
from sealwright.detection.catalogue.model import Params
from sealwright.detection.catalogue.tables import Tables

Expression = Callable[[Tables, Params], ir.Table]

NEEDS: Mapping[str, frozenset[str]] = {
    "never_issued": frozenset({"issued"}),
    "dormant_key": frozenset({"issued"}),
    "revoked_key_presented": frozenset({"issued"}),
    "retired_key_presented": frozenset({"issued"}),
    "signer_count_mismatch": frozenset({"issued"}),
    "unknown_key": frozenset({"keys"}),
    "issued_without_grant": frozenset({"grants"}),
    "client_disabled": frozenset({"clients"}),
    "scope_beyond_policy": frozenset({"clients"}),
}
"""Tables without which a detection would find everything suspicious; without them it is not run."""

EXPRESSIONS: Mapping[str, Expression] = {
    expression.__name__: expression
    for expression in (
        forgery.never_issued,
        forgery.digest_mismatch,
        forgery.kid_mismatch,
        forgery.altered_twin,
        forgery.unknown_key,
        forgery.key_of_other_realm,
        forgery.key_outside_window,
        forgery.before_activation,
        forgery.dormant_key,
        forgery.key_retired,
        forgery.key_revoked,
        forgery.revoked_key_presented,
        forgery.retired_key_presented,
        forgery.lifetime_beyond_policy,
        forgery.canary_token,
        forgery.canary_key,
        theft.token_replayed,
        theft.binding_failed,
        theft.family_reused,
        theft.used_after_revocation,
        theft.used_after_expiry,
        theft.issued_in_future,
        theft.impossible_travel,
        service.scope_beyond_policy,
        service.issued_without_grant,
        service.client_disabled,
        service.signer_count_mismatch,
        service.ledger_rolled_back,
        service.checkpoint_unwitnessed,
        service.trust_changed,
        service.validator_silent,
        service.manifest_stale,
        service.header_attacks,
        behaviour.first_seen_client,
        behaviour.new_network,
        behaviour.volume_burst,
        behaviour.low_and_slow,
    )
}
