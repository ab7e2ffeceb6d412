"""Where a relying party reports its observations, and as whom. May never show its secret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from sealwright_validate.errors import Misconfigured
from sealwright_validate.trust import Trust

if TYPE_CHECKING:
    from sealwright_validate.observe import Observer
    from sealwright_validate.spool import Spool

SPOOL_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Report:
    """Credentials of a relying party that is registered as a reporter, and the name it goes by.

    `spool` is a directory in which observations wait while the authority is away (memory without it), bounded
    by `spool_bytes`. `url` is the Sealwright to report to; the trusted one without it. `allow_plain_http`
    permits sending the secret unencrypted to another machine.
    """

    client_id: str
    client_secret: str = field(repr=False)
    name: str = "unnamed"
    spool: Path | str | None = None
    spool_bytes: int = SPOOL_BYTES
    url: str | None = None
    allow_plain_http: bool = False

    def observer(self, trust: Trust, *, mode: str, describe: Callable[[], Mapping[str, Any]]) -> "Observer":
        """The observer that sends what a validator with this trust sees."""
        from sealwright_validate.observe import Observer, library_version
        from sealwright_validate.spool import DirectorySpool, MemorySpool

        url = self.url or trust.url
        if self.url is None and not trust.has_ledger:
            raise Misconfigured("say where to report to: Report(url=…)")
        if not self.client_id or not self.client_secret:
            raise Misconfigured("reporting needs a client id and a secret")
        about = {
            "name": self.name,
            "instance": token_hex(8),
            "library": "sealwright-validate",
            "version": library_version(),
            "mode": mode,
        }
        spool: Spool = MemorySpool(self.spool_bytes)
        if self.spool is not None:
            spool = DirectorySpool(Path(self.spool), clock=trust.clock, max_bytes=self.spool_bytes)
        return Observer(
            url,
            client_id=self.client_id,
            client_secret=self.client_secret,
            describe=lambda: {**about, **describe()},
            spool=spool,
            clock=trust.clock,
            allow_plain_http=self.allow_plain_http,
        )
