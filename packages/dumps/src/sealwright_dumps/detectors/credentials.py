"""Credentials that are text with a recognisable shape: cloud, forge, chat and payment tokens, JWTs,
Kubernetes.

May never do: call the service that a credential belongs to, or keep the credential.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from itertools import pairwise

from sealwright_dumps.model import Confidence, Hit

DETECTOR = "credential"
_DIVERSE = 8
_NOT_NAMES = ("refresh-token", "docker-registry-auth")


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of credential: a literal that it contains, and the expression that the text around must match.

    `back` is how far before the literal the expression may start. Group 1, where there is one, is the secret.
    """

    name: str
    literal: bytes
    expression: re.Pattern[bytes]
    back: int = 0
    ahead: int = 0
    confidence: Confidence = Confidence.LIKELY


_START = rb"(?<![A-Za-z0-9_])"
_STOP = rb"(?![A-Za-z0-9_])"


def _token(name: str, literal: str, rest: str) -> Rule:
    expression = _START + re.escape(literal.encode()) + b"(?:" + rest.encode() + b")" + _STOP
    return Rule(name, literal.encode(), re.compile(expression))


def _assigned(name: str, literal: str, value: str) -> Rule:
    """A secret behind a telling name: NAME = "value", NAME: value, "NAME":"value"."""
    pattern = (
        re.escape(literal.encode())
        + rb"""\\{0,3}["']?[ \t]{0,4}[:=]{1,2}>?[ \t]{0,4}\\{0,3}["']?("""
        + value.encode()
        + b")"
    )
    return Rule(name, literal.encode(), re.compile(pattern))


RULES: tuple[Rule, ...] = (
    _token("aws-access-key-id", "AKIA", "[A-Z2-7]{16}"),
    _token("aws-temporary-key-id", "ASIA", "[A-Z2-7]{16}"),
    _assigned("aws-secret-access-key", "aws_secret_access_key", "[A-Za-z0-9/+]{40}"),
    _assigned("aws-secret-access-key", "AWS_SECRET_ACCESS_KEY", "[A-Za-z0-9/+]{40}"),
    _assigned("aws-secret-access-key", "SecretAccessKey", "[A-Za-z0-9/+]{40}"),
    _assigned("azure-storage-key", "AccountKey", "[A-Za-z0-9/+]{86}=="),
    _assigned("azure-sas-key", "SharedAccessKey", "[A-Za-z0-9/+]{43}="),
    Rule(
        "azure-client-secret",
        b"8Q~",
        re.compile(rb"(?<![\w~.-])[\w~.-]{3}8Q~[\w~.-]{31,34}(?![\w~.-])"),
        3,
        44,
    ),
    _token("google-api-key", "AIza", "[A-Za-z0-9_-]{35}"),
    _token("google-oauth-secret", "GOCSPX-", "[A-Za-z0-9_-]{28}"),
    _token("google-refresh-token", "1//0", "[A-Za-z0-9_-]{60,120}"),
    _token("github-token", "ghp_", "[A-Za-z0-9]{36}"),
    _token("github-token", "gho_", "[A-Za-z0-9]{36}"),
    _token("github-token", "ghu_", "[A-Za-z0-9]{36}"),
    _token("github-token", "ghs_", "[A-Za-z0-9]{36}"),
    _token("github-token", "ghr_", "[A-Za-z0-9]{36,76}"),
    _token("github-token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("gitlab-token", "glpat-", "[A-Za-z0-9_-]{20,27}"),
    _token("slack-token", "xoxb-", "[0-9]{8,14}-[0-9A-Za-z-]{20,60}"),
    _token("slack-token", "xoxp-", "[0-9]{8,14}-[0-9A-Za-z-]{20,80}"),
    _token("slack-token", "xapp-", "[0-9]-[A-Z0-9]{8,14}-[0-9]{8,14}-[0-9a-f]{40,70}"),
    _token("stripe-key", "sk_live_", "[A-Za-z0-9]{24,99}"),
    _token("stripe-key", "rk_live_", "[A-Za-z0-9]{24,99}"),
    _token("npm-token", "npm_", "[A-Za-z0-9]{36}"),
    _token("pypi-token", "pypi-AgEIcHlwaS5vcmc", "[A-Za-z0-9_-]{50,300}"),
    _token("vault-token", "hvs.", "[A-Za-z0-9_-]{24,200}"),
    _token("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _token("digitalocean-token", "dop_v1_", "[0-9a-f]{64}"),
    _token("huggingface-token", "hf_", "[A-Za-z]{34}"),
    _token("openai-key", "sk-proj-", "[A-Za-z0-9_-]{40,200}"),
    _token("anthropic-key", "sk-ant-", "[A-Za-z0-9_-]{80,120}"),
    _token("tailscale-key", "tskey-", "(?:auth|api|client)-[A-Za-z0-9]{10,24}-[A-Za-z0-9]{20,40}"),
    _token("age-secret-key", "AGE-SECRET-KEY-1", "[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _assigned("wireguard-private-key", "PrivateKey", "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="),
    _assigned("kubeconfig-client-key", "client-key-data", "LS0tLS1CRUdJTi[A-Za-z0-9+/=]{100,8000}"),
    _assigned("refresh-token", "refresh_token", "[A-Za-z0-9._~+/-]{24,2000}"),
    _assigned("docker-registry-auth", '"auth', "[A-Za-z0-9+/]{16,400}={0,2}"),
    Rule(
        "url-password",
        b"://",
        re.compile(
            rb"(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?|rediss?|amqps?)://[^\s:@/\"'<>{}$%]{1,64}:([^\s:@/\"'<>{}$%]{8,128})@"
        ),
        12,
        240,
    ),
    Rule(
        "jwt",
        b".eyJ",
        re.compile(
            rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,600}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{20,8000}"
        ),
        620,
        16100,
    ),
)


def credential(data: bytes, at: int, rule: Rule) -> Hit | None:
    """The credential whose literal stands at `at`, if the text around it matches the rule."""
    match = _match(data, at, rule)
    if match is None:
        return None
    secret = match.group(match.lastindex or 0)
    if rule.name in _NOT_NAMES and not _mixed(secret):
        return None  # a name in a program
    if len(set(secret)) < _DIVERSE or b"EXAMPLE" in secret.upper() or b"XXXX" in secret.upper():
        return None
    confidence, algorithm = rule.confidence, ""
    if rule.name == "jwt":
        algorithm = _jwt_algorithm(secret)
        if not algorithm:
            return None
    return Hit(DETECTOR, rule.name, "text", algorithm, confidence, match.start(), match.end())


def _match(data: bytes, at: int, rule: Rule) -> re.Match[bytes] | None:
    if not rule.back:
        return rule.expression.match(data, at)
    low = max(0, at - rule.back)
    for match in rule.expression.finditer(data, low, at + rule.ahead):
        if match.start() <= at < match.end():
            return match
        if match.start() > at:
            break
    return None


def _mixed(secret: bytes) -> bool:
    """Whether digits, capitals and small letters change as often as in random text, not as in a name."""
    kinds = [
        "d" if chr(c).isdigit() else "u" if chr(c).isupper() else "l" for c in secret if chr(c).isalnum()
    ]
    return 4 * sum(a != b for a, b in pairwise(kinds)) > len(kinds)


def _jwt_algorithm(token: bytes) -> str:
    """The alg member of a JWS header, or empty when the header is not one."""
    header = token.split(b".", 1)[0]
    try:
        members = json.loads(base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4)))
    except (ValueError, binascii.Error):
        return ""
    algorithm = members.get("alg") if isinstance(members, dict) else None
    return algorithm.lower()[:20] if isinstance(algorithm, str) else ""
