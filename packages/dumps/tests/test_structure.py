from __future__ import annotations

import base64
from typing import Any

import pytest

from sealwright_dumps import sieve
from sealwright_dumps.corpus.keys import Keys, pkcs8, traditional
from sealwright_dumps.inspect import (
    Inspector,
    compression_lookouts,
    credential_lookouts,
    structure_lookouts,
)
from sealwright_dumps.model import Confidence, Hit

PAD = bytes(700)


@pytest.fixture(scope="module", params=sieve.available())
def inspector(request: Any) -> Inspector:
    lookouts = [*structure_lookouts(), *credential_lookouts(), *compression_lookouts()]
    return Inspector(lookouts, request.param)


def spellings(raw: bytes) -> dict[str, bytes]:
    return {
        "raw": raw,
        "base64": base64.b64encode(raw),
        "base64+1": base64.b64encode(b"?" + raw),
        "base64+2": base64.b64encode(b"??" + raw),
        "base64url": base64.urlsafe_b64encode(raw),
        "wrapped": base64.encodebytes(raw),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "utf16": base64.b64encode(raw).decode().encode("utf-16le"),
        "utf16be": base64.b64encode(raw).decode().encode("utf-16be"),
        "hex16": raw.hex().encode("utf-16le"),
    }


def sure(hits: list[Hit]) -> list[Hit]:
    return [hit for hit in hits if hit.confidence is not Confidence.POSSIBLE]


@pytest.mark.parametrize("form", list(spellings(b"x")))
def test_a_private_key_is_found_in_every_spelling(inspector: Inspector, keys: Keys, form: str) -> None:
    for key in keys.all():
        blobs = [pkcs8(key), pkcs8(key, pem=True)]
        if key is not keys.ed25519:
            blobs += [traditional(key), traditional(key, pem=True)]
        for blob in blobs:
            text = spellings(blob)[form]
            hits = sure(inspector.inspect(PAD + text + PAD))
            assert len(hits) == 1, (form, hits)
            assert hits[0].start <= len(PAD) + 3
            assert hits[0].end >= len(PAD) + len(text) - 8
            assert hits[0].key_id
            assert hits[0].algorithm


def test_public_keys_and_certificates_are_not_reported(inspector: Inspector, keys: Keys) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for key in keys.all():
        for encoding in (Encoding.DER, Encoding.PEM):
            raw = key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            for text in spellings(raw).values():
                assert inspector.inspect(PAD + text + PAD) == []


def test_labels_without_a_body_are_not_reported(inspector: Inspector) -> None:
    table = b"\0".join(
        b"-----BEGIN %b-----" % label
        for label in (b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"PRIVATE KEY", b"OPENSSH PRIVATE KEY")
    )
    assert inspector.inspect(PAD + table + PAD) == []


def test_a_pem_on_one_line_with_escaped_breaks_is_found(inspector: Inspector, keys: Keys) -> None:
    text = pkcs8(keys.rsa, pem=True).replace(b"\n", b"\\n")
    hits = inspector.inspect(PAD + b'{"private_key": "' + text + b'"}' + PAD)
    assert [hit.confidence for hit in hits] == [Confidence.CONFIRMED]


def test_a_pem_that_is_cut_off_is_reported_as_damaged(inspector: Inspector, keys: Keys) -> None:
    text = pkcs8(keys.rsa, pem=True)[:900]
    hits = inspector.inspect(PAD + text + PAD)
    assert [(hit.confidence, hit.form) for hit in hits] == [(Confidence.LIKELY, "text-damaged")]


def test_an_rsa_key_with_one_wrong_prime_is_no_confirmed_key(inspector: Inspector, keys: Keys) -> None:
    blob = bytearray(traditional(keys.rsa))
    blob[-200] ^= 1
    blob[700] ^= 1
    assert all(
        hit.confidence is not Confidence.CONFIRMED for hit in inspector.inspect(PAD + bytes(blob) + PAD)
    )


def test_only_anchors_in_the_asked_range_are_reported(inspector: Inspector, keys: Keys) -> None:
    data = PAD + pkcs8(keys.ec) + PAD
    assert inspector.inspect(data, 0, len(PAD)) == []
    assert len(inspector.inspect(data, len(PAD), len(data))) == 1


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zip"])
def test_a_key_in_a_compressed_stream_is_found(inspector: Inspector, keys: Keys, name: str) -> None:
    import bz2
    import gzip
    import io
    import lzma
    import zipfile

    secret = b"before " + pkcs8(keys.ec, pem=True) + b" after"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.pem", secret)
    streams = {
        "gzip": gzip.compress(secret),
        "bzip2": bz2.compress(secret),
        "xz": lzma.compress(secret),
        "zip": packed.getvalue(),
    }
    hits = inspector.inspect(PAD + streams[name] + PAD)
    assert [hit.confidence for hit in hits] == [Confidence.CONFIRMED]
