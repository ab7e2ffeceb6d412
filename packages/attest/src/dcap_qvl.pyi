# The part of dcap-qvl that this package calls, which ships without a py.typed mark.

class QuoteCollateralV3:
    @staticmethod
    def from_json(json_str: str) -> QuoteCollateralV3: ...

class QuotePolicy:
    @staticmethod
    def claims_only(now_secs: int) -> QuotePolicy: ...

class QuoteClaims:
    def to_json(self) -> str: ...

class QuoteVerifier:
    def __init__(self, root_ca_der: bytes | None = None) -> None: ...
    def verify_with_policy(
        self, raw_quote: bytes, collateral: QuoteCollateralV3, now_secs: int, policy: QuotePolicy
    ) -> QuoteClaims: ...
