from __future__ import annotations

import base64
import json
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwright_dumps import fingerprint
from sealwright_dumps.corpus.plants import python_digits
from sealwright_dumps.detectors import own
from sealwright_dumps.errors import Misconfigured, Refused
from sealwright_dumps.fingerprint import Form, Kind
from sealwright_dumps.inspect import Inspector, Lookout, _own
from sealwright_dumps.model import Hit

SALT = bytes(range(32))


def look(form: Form, data: bytes) -> list[Hit]:
    made = fingerprint.load(fingerprint.dump(fingerprint.make([form], SALT)))
    probes = [probe for entry in made.entries for probe in own.probes(made.salt, entry)]
    return Inspector([Lookout(probe.literal, _own(probe)) for probe in probes]).inspect(data)


@settings(deadline=None, max_examples=40)
@given(
    st.binary(min_size=32, max_size=32), st.sampled_from([32, 48, 66, 128, 192, 256, 512]), st.integers(0, 9)
)
def test_an_integer_is_found_in_every_form_at_any_offset(seed: bytes, size: int, lead: int) -> None:
    import hashlib

    value = int.from_bytes(hashlib.shake_256(seed).digest(size), "little") | 1 << (8 * size - 1)
    form = fingerprint.integer("kid", "n", value, size)
    big = form.data[::-1]
    pad = bytes(100 + lead)
    shown = {
        "le": form.data,
        "be": big,
        "python-int": python_digits(value),
        "be/base64": base64.b64encode(b"?" * lead + big),
        "be/hex": big.hex().encode(),
        "be/base64/utf-16": base64.b64encode(big).decode().encode("utf-16le"),
    }
    for name, data in shown.items():
        hits = look(form, pad + data + pad)
        assert [(hit.form, hit.key_id) for hit in hits] == [(name, "kid")]
        assert hits[0].start <= len(pad)
        assert hits[0].end >= len(pad) + len(data.rstrip(b"=\x00")) - 4


@pytest.mark.parametrize(("kind", "size"), [(Kind.INTEGER, 66), (Kind.INTEGER, 128), (Kind.BYTES, 128)])
def test_half_of_a_secret_is_found_wherever_its_marks_are(kind: Kind, size: int) -> None:
    source = random.Random(3)  # the same secrets each time; one in ten has its rarest bytes beside the middle
    for _ in range(150):
        form = Form("kid", "p", kind, source.randbytes(size))
        for half in (form.data[: size // 2], form.data[size // 2 :]):
            assert [hit.key_id for hit in look(form, bytes(200) + half + bytes(200))] == ["kid"]


def test_another_salt_makes_other_digests_and_the_same_tags() -> None:
    form = Form("kid", "seed", Kind.BYTES, os.urandom(32))
    first, second = (fingerprint.make([form], salt).entries[0].marks[0] for salt in (SALT, bytes(32)))
    assert first.tag == second.tag
    assert first.mac != second.mac


def test_a_fingerprint_lets_out_at_most_24_bits_per_mark_and_few_marks() -> None:
    for size, marks in ((32, 1), (128, 2), (256, 4), (1408, 4)):
        entry = fingerprint.make([Form("kid", "x", Kind.BYTES, os.urandom(size))], SALT).entries[0]
        assert len(entry.marks) == marks
        assert all(len(mark.tag) == 6 and len(mark.mac) == 32 for mark in entry.marks)


@pytest.mark.parametrize("data", [bytes(32), b"ab" * 16, bytes(range(20)), b"\x01\x00\x00\x00" * 256])
def test_a_form_that_a_digest_would_not_hide_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        fingerprint.make([Form("kid", "weak", Kind.BYTES, data)], SALT)


def test_a_short_salt_is_refused() -> None:
    with pytest.raises(Refused):
        fingerprint.make([], b"short")


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(format="other/1"),
        lambda body: body.update(salt="00"),
        lambda body: body.update(entries=[]),
        lambda body: body["entries"][0].update(length=10),
        lambda body: body["entries"][0]["marks"][0].update(window=-1),
        lambda body: body["entries"][0]["marks"][0].update(tag="0011"),
        lambda body: body["entries"][0].update(kind="word"),
        lambda body: body["entries"][0].pop("marks"),
    ],
)
def test_a_damaged_file_is_a_misconfiguration(change: object) -> None:
    body = json.loads(fingerprint.dump(fingerprint.make([Form("k", "s", Kind.BYTES, os.urandom(32))], SALT)))
    change(body)  # type: ignore[operator]
    with pytest.raises(Misconfigured):
        fingerprint.load(json.dumps(body))
