"""Names of the MITRE ATT&CK techniques (version 18) that the catalogue refers to."""

from __future__ import annotations

from collections.abc import Mapping

VERSION = "18"
TECHNIQUES: Mapping[str, str] = {
    "T1030": "Data Transfer Size Limits",
    "T1070": "Indicator Removal",
    "T1078": "Valid Accounts",
    "T1078.004": "Cloud Accounts",
    "T1098": "Account Manipulation",
    "T1114": "Email Collection",
    "T1114.002": "Remote Email Collection",
    "T1190": "Exploit Public-Facing Application",
    "T1484": "Domain or Tenant Policy Modification",
    "T1484.002": "Trust Modification",
    "T1528": "Steal Application Access Token",
    "T1530": "Data from Cloud Storage",
    "T1539": "Steal Web Session Cookie",
    "T1548": "Abuse Elevation Control Mechanism",
    "T1550": "Use Alternate Authentication Material",
    "T1550.001": "Application Access Token",
    "T1552": "Unsecured Credentials",
    "T1552.004": "Private Keys",
    "T1556": "Modify Authentication Process",
    "T1562": "Impair Defenses",
    "T1565": "Data Manipulation",
    "T1565.001": "Stored Data Manipulation",
    "T1606": "Forge Web Credentials",
}
