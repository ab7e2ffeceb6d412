"""Proves AES key schedules: all round keys must follow from the first (FIPS 197, section 5.2).

May never do: report what only resembles a schedule.
"""

from __future__ import annotations

from sealwright_dumps.model import Confidence, Hit

DETECTOR = "aes"
_ROUND_WORDS = {4: 44, 6: 52, 8: 60}


def _make_sbox() -> bytes:
    """The S-box from its definition: the inverse in GF(2^8), then the affine map."""
    box = bytearray(256)
    power, inverse = 1, 1
    while True:
        power ^= (power << 1) ^ (0x11B if power & 0x80 else 0)  # times 3
        power &= 0xFF
        for step in (1, 2, 4):  # divided by 3
            inverse ^= inverse << step
        inverse &= 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        rotated = inverse
        for turn in (1, 2, 3, 4):
            rotated ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[power] = rotated ^ 0x63
        if power == 1:
            break
    box[0] = 0x63
    return bytes(box)


SBOX = _make_sbox()


def expand(key: bytes) -> bytes:
    """The encryption key schedule of a 16-, 24- or 32-byte key."""
    size = len(key) // 4
    words = [key[4 * place : 4 * place + 4] for place in range(size)]
    constant = 1
    for place in range(size, _ROUND_WORDS[size]):
        word = words[-1]
        if place % size == 0:
            word = (word[1:] + word[:1]).translate(SBOX)
            word = bytes((word[0] ^ constant, *word[1:]))
            constant = constant << 1 ^ (0x11B if constant & 0x80 else 0)
        elif size == 8 and place % size == 4:
            word = word.translate(SBOX)
        words.append(bytes(a ^ b for a, b in zip(words[-size], word, strict=True)))
    return b"".join(words)


def schedule(data: bytes, at: int, size: int) -> Hit | None:
    """The schedule of a key of `size` words at `at`, proved word by word."""
    key = data[at : at + 4 * size]
    if len(key) < 4 * size or len(set(key)) < 6:
        return None
    whole = expand(key)
    if data[at : at + len(whole)] != whole:
        return None
    return Hit(
        DETECTOR, "aes-schedule", "memory", f"aes-{32 * size}", Confidence.CONFIRMED, at, at + len(whole)
    )
