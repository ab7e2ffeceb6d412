"""What a file of evidence says, read and not verified.

It may never be used to decide: nothing here checks a signature, and every table that is made of it says so.
"""

from collections.abc import Callable
from typing import Final

from .bundle import FORMAT, parse_bundle
from .errors import Code, Refused
from .model import Evidence, Kind
from .octets import strict_object
from .verifiers.azure_evidence import parse_azure_evidence
from .verifiers.event_log import SPEC_ID_03, parse_event_log
from .verifiers.hcl import TYPE_SNP, parse_hcl
from .verifiers.nitro import parse_document
from .verifiers.simulated import NOTICE
from .verifiers.snp_report import SIZE, parse_report, tcb_components
from .verifiers.tdx_quote import TEE_TDX, parse_quote
from .verifiers.tpm_evidence import parse_tpm_evidence
from .verifiers.tpm_structures import HASH_NAMES, parse_public
from .verifiers.tpm_structures import parse_quote as parse_tpm_quote
from .x509 import parse_certificate, period

Rows = list[tuple[str, str]]
_SHOWN_DATA: Final = 48
_FIRST_BYTES: Final = {b"\x84": Kind.NITRO, b"\xd2": Kind.NITRO, b"\x0a": Kind.TPM2}
_FIRST_EVENTS: Final = (0x01, 0x03, 0x07, 0x08, 0x0A)  # POST code, no action, CRTM, its version, flags
_TEE_TYPES: Final = (TEE_TDX.to_bytes(4, "little"), bytes(4))


def _detect_json(data: bytes) -> Evidence:
    table = strict_object(data)
    form = str(table.get("format", ""))
    if form == FORMAT:
        return parse_bundle(data)
    if form.startswith("sealwright-simulated/"):
        return Evidence(Kind.SIMULATED, data)
    inner = table.get("evidence", table)
    is_azure = isinstance(inner, dict) and ({"hcl_report", "report"} & set(inner))
    return Evidence(Kind.AZURE if is_azure else Kind.TPM2, data)


def _is_quote(data: bytes) -> bool:
    return data[:2] in {b"\x03\x00", b"\x04\x00", b"\x05\x00"} and data[4:8] in _TEE_TYPES


def detect(unverified_data: bytes) -> Evidence:
    """Return evidence of the kind that the bytes look like; a bundle says so itself.

    Raises:
        Refused: `kind-mismatch` when they look like nothing known, or whatever is wrong with a bundle.
    """
    data = unverified_data
    if data[:1] == b"{":
        return _detect_json(data)
    if len(data) == SIZE:
        return Evidence(Kind.SEV_SNP, data)
    if _is_quote(data):
        return Evidence(Kind.TDX, data)
    kind = _FIRST_BYTES.get(data[:1])
    if kind is None:
        raise Refused(Code.KIND_MISMATCH, "the file looks like no known evidence; name its kind")
    return Evidence(kind, data)


def _snp(data: bytes) -> Rows:
    report = parse_report(data)
    product = report.product or "not said (version 2)"
    tcb = {
        "reported": report.reported_tcb,
        "committed": report.committed_tcb,
        "current": report.current_tcb,
        "launch": report.launch_tcb,
    }
    rows = [
        ("version", str(report.version)),
        ("product", product),
        ("signing key", report.signing_key),
        ("vmpl", str(report.vmpl)),
        ("guest svn", str(report.guest_svn)),
        ("measurement", report.measurement.hex()),
        ("report data", report.report_data.hex()),
        ("host data", report.host_data.hex()),
        ("id key digest", report.id_key_digest.hex()),
        ("author key digest", report.author_key_digest.hex()),
        ("chip id", report.chip_id.hex()),
        ("report id", report.report_id.hex()),
        ("firmware", f"current {report.current_firmware}, committed {report.committed_firmware}"),
    ]
    rows += [(f"tcb {name}", _pairs(tcb_components(report.product, value))) for name, value in tcb.items()]
    rows += [("guest bits", _bits(report.guest_bits())), ("platform bits", _bits(report.platform_bits()))]
    return rows


def _tdx(data: bytes) -> Rows:
    quote = parse_quote(data)
    body = quote.body
    return [
        ("version", str(quote.version)),
        ("mrtd", body.mr_td.hex()),
        *((f"rtmr{index}", value.hex()) for index, value in enumerate(body.rtmrs)),
        ("report data", body.report_data.hex()),
        ("td attributes", _bits(body.attributes())),
        ("xfam", body.xfam.hex()),
        ("mr seam", body.mr_seam.hex()),
        ("mr config id", body.mr_config_id.hex()),
        ("mr owner", body.mr_owner.hex()),
        ("mr owner config", body.mr_owner_config.hex()),
        ("mr service td", body.mr_service_td.hex()),
        ("tee tcb svn", body.tee_tcb_svn.hex()),
    ]


def _quote(message: bytes) -> Rows:
    quote = parse_tpm_quote(message)
    banks = "; ".join(
        f"{HASH_NAMES.get(one.bank, hex(one.bank))}: {', '.join(map(str, one.pcrs))}"
        for one in quote.selections
    )
    return [
        ("nonce (extraData)", quote.extra_data.hex()),
        ("selected PCRs", banks),
        ("pcr digest", quote.pcr_digest.hex()),
        ("clock", f"{quote.clock} ms, {quote.reset_count} resets, {quote.restart_count} restarts"),
        ("firmware version", f"{quote.firmware_version:#018x}"),
    ]


def _tpm(data: bytes) -> Rows:
    body = parse_tpm_evidence(data)
    public = parse_public(body.ak_public)
    rows = [("ak name", public.name.hex()), ("ak attributes", " ".join(public.attribute_names()))]
    rows += _quote(body.message)
    rows += [(f"pcr{index}", value.hex()) for index, value in sorted(body.pcrs.items())]
    return rows + _log(body.event_log) + _certificates(body.ak_certificates)


def _azure(data: bytes) -> Rows:
    body = parse_azure_evidence(data)
    hcl = parse_hcl(body.hcl_report)
    hardware: Rows = []
    if hcl.report_type == TYPE_SNP:
        hardware = [(f"hcl {name}", value) for name, value in _snp(hcl.hardware_report)]
    if body.td_quote is not None:
        hardware = [(f"td {name}", value) for name, value in _tdx(body.td_quote)]
    pcrs = [(f"pcr{index}", value.hex()) for index, value in sorted(body.pcrs.items())]
    runtime = hcl.unverified_runtime.decode("utf-8", "replace")
    return [*_quote(body.message), *pcrs, *hardware, ("runtime document", runtime)]


def _nitro(data: bytes) -> Rows:
    document = parse_document(data)
    rows = [("module id", document.module_id), ("timestamp", f"{document.timestamp} ms")]
    rows += [(f"pcr{index}", value.hex()) for index, value in sorted(document.pcrs.items())]
    rows += [("nonce", document.nonce.hex()), ("user data", document.user_data.hex())]
    rows.append(("public key", document.public_key.hex()))
    return rows + _certificates((document.certificate, *reversed(document.cabundle)))


def _simulated(data: bytes) -> Rows:
    table = strict_object(data)
    return [("notice", NOTICE), *((name, str(value)) for name, value in table.items() if name != "notice")]


def _bits(bits: dict[str, bool]) -> str:
    return ", ".join(name for name, value in bits.items() if value) or "none set"


def _pairs(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _certificates(unverified_certificates: tuple[bytes, ...]) -> Rows:
    rows = []
    for data in unverified_certificates:
        one = parse_certificate(data)
        rows.append((f"certificate {one.common_name()}".strip(), f"by {one.issuer_name()}, {period(one)}"))
    return rows


def _log(unverified_log: bytes) -> Rows:
    if not unverified_log:
        return []
    log = parse_event_log(unverified_log)
    return [("event log", f"{len(log.events)} events, {', '.join(log.algorithms)}")]


_READERS: Final[dict[Kind, Callable[[bytes], Rows]]] = {
    Kind.SEV_SNP: _snp,
    Kind.TDX: _tdx,
    Kind.AZURE: _azure,
    Kind.NITRO: _nitro,
    Kind.TPM2: _tpm,
    Kind.SIMULATED: _simulated,
}


def is_event_log(unverified_data: bytes) -> bool:
    """Say whether a file begins like an event log: crypto-agile, or the legacy one with SHA-1 only.

    The first event of both is of register 0 and has a 20-byte digest; a legacy log starts with what measured
    itself (TCG PC Client Platform Firmware Profile, event types).
    """
    data = unverified_data
    if data[32 : 32 + len(SPEC_ID_03)] == SPEC_ID_03:
        return True
    size = int.from_bytes(data[28:32], "little")
    legacy = data[:4] == bytes(4) and int.from_bytes(data[4:8], "little") in _FIRST_EVENTS
    return legacy and 0 < size <= len(data) - 32


def explain_log(unverified_log: bytes) -> Rows:
    """Return the events of a log, and the register values that it leads to.

    Raises:
        Refused: it cannot be read.
    """
    log = parse_event_log(unverified_log)
    rows = [("algorithms", ", ".join(log.algorithms)), ("events", str(len(log.events)))]
    best = max(log.algorithms, key=lambda name: int(name.removeprefix("sha")) if name != "sha1" else 0)
    for event in log.events:
        data = event.data[:_SHOWN_DATA].decode("latin-1")
        rows.append(
            (f"register {event.register}", f"type {event.kind:#x} {event.digests[best].hex()} {data}")
        )
    for algorithm in log.algorithms:
        values = log.replay(algorithm)
        rows += [(f"{algorithm} register {index}", value.hex()) for index, value in sorted(values.items())]
    return rows


def explain(evidence: Evidence) -> Rows:
    """Return what the evidence says, as rows of name and value.

    Raises:
        Refused: it cannot be read.
    """
    rows = [("kind", evidence.kind.value), *_READERS[evidence.kind](evidence.unverified_body)]
    if evidence.unverified_identity_key:
        rows.append(("claimed identity key", evidence.unverified_identity_key.hex()))
    return rows + _log(evidence.unverified_event_log) + _certificates(evidence.endorsements.certificates)
