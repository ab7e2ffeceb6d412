"""The claims that Azure's attestation service would name, computed from our own, for release policies written
for it.

It may never contact that service, nor set a claim that was not established here: `azure-compliant-cvm` is set
only for an SNP paravisor signed by Microsoft's identity key, at VMPL 0, not debuggable. Source: Microsoft
Azure Attestation claim sets for SEV-SNP and TDX.
"""

from typing import Any

from sealwright_attest.model import Claims, Kind

# Identity-block keys of Azure's SNP paravisors, as seen in public evidence of several years and regions.
# Another key is not compliant until it is added here.
MICROSOFT_ID_KEYS = frozenset(
    {
        "0356215882a825279a85b300b0b742931d113bf7e32dde2e50ffde7ec743ca491ecdd7f336dc28a6e0b2bb57af7a44a3",
        "942fd93ebde6ea7a96efadeafc60f1c6b3d10e703b1dafd7555b92f7f3d32d0e006767648cba5b102af3d65756af4177",
    }
)


def _snp(claims: Claims) -> dict[str, Any]:
    settings, tcb = claims.settings, claims.settings["tcb"]["reported"]
    return {
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-sevsnpvm-authorkeydigest": settings["author_key_digest"],
        "x-ms-sevsnpvm-bootloader-svn": tcb["bootloader"],
        "x-ms-sevsnpvm-familyId": settings["family_id"],
        "x-ms-sevsnpvm-guestsvn": settings["guest_svn"],
        "x-ms-sevsnpvm-hostdata": settings["host_data"],
        "x-ms-sevsnpvm-idkeydigest": settings["id_key_digest"],
        "x-ms-sevsnpvm-imageId": settings["image_id"],
        "x-ms-sevsnpvm-is-debuggable": settings["guest"]["debug"],
        "x-ms-sevsnpvm-launchmeasurement": claims.measurements["launch"],
        "x-ms-sevsnpvm-microcode-svn": tcb["microcode"],
        "x-ms-sevsnpvm-migration-allowed": settings["guest"]["migration"],
        "x-ms-sevsnpvm-reportdata": settings["report_data"],
        "x-ms-sevsnpvm-reportid": claims.instance["report_id"],
        "x-ms-sevsnpvm-smt-allowed": settings["guest"]["smt"],
        "x-ms-sevsnpvm-snpfw-svn": tcb["snp"],
        "x-ms-sevsnpvm-tee-svn": tcb["tee"],
        "x-ms-sevsnpvm-vmpl": settings["vmpl"],
    }


def _tdx(claims: Claims) -> dict[str, Any]:
    settings, attributes = claims.settings, claims.settings["td_attributes"]
    table = {
        "x-ms-attestation-type": "tdxvm",
        "tdx_mrtd": claims.measurements["mrtd"],
        "tdx_mrseam": settings["mr_seam"],
        "tdx_mrconfigid": settings["mr_config_id"],
        "tdx_mrowner": settings["mr_owner"],
        "tdx_mrownerconfig": settings["mr_owner_config"],
        "tdx_report_data": settings["report_data"],
        "tdx_td_attributes_debug": attributes["debug"],
        "tdx_td_attributes_septve_disable": attributes["sept_ve_disable"],
        "attester_tcb_status": settings.get("tcb_status", ""),
    }
    return table | {f"tdx_rtmr{index}": claims.measurements[f"rtmr{index}"] for index in range(4)}


def _compliant(claims: Claims) -> bool:
    settings = claims.settings
    return (
        settings.get("tee") == "sev-snp"
        and settings["id_key_digest"] in MICROSOFT_ID_KEYS
        and settings["vmpl"] == 0
        and not settings["guest"]["debug"]
    )


def maa_claims(kind: Kind, claims: Claims) -> dict[str, Any]:
    """Return the claims by their names at Azure; empty for platforms that it does not know."""
    if kind is Kind.SEV_SNP:
        return _snp(claims)
    if kind is Kind.TDX:
        return _tdx(claims)
    if kind is not Kind.AZURE:
        return {}
    tee = _snp(claims) if claims.settings["tee"] == "sev-snp" else _tdx(claims)
    if _compliant(claims):
        tee["x-ms-compliance-status"] = "azure-compliant-cvm"
    configuration = claims.settings["vm_configuration"]
    return {
        "x-ms-attestation-type": "azurevm",
        "x-ms-isolation-tee": {**tee, "x-ms-runtime": claims.settings["runtime"]},
        "x-ms-azurevm-vmid": claims.instance["vm_id"],
        "x-ms-runtime": claims.settings["runtime"],
        "secureboot": configuration.get("secure-boot", False),
    }
