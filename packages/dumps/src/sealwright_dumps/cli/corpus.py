"""`corpus`: make files with planted keys in every form, and the truth about where they are.

May never do: write a key that is used anywhere; all are made for the corpus.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sealwright_dumps.cli import exits
from sealwright_dumps.corpus import build
from sealwright_dumps.corpus.build import Place, Planted, Site
from sealwright_dumps.corpus.keys import make_keys
from sealwright_dumps.errors import Misconfigured

_PIECE = 1 << 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("corpus", help="make files with planted keys", description=__doc__)
    parser.add_argument("folder", help="an empty folder, or one to be made")
    parser.add_argument("--size", type=int, default=0, metavar="MIB", help="also a core of this size")
    parser.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    folder = Path(options.folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        truth = _written(folder, options.size)
    except OSError as error:
        reason = error.strerror or "it cannot be used"
        raise Misconfigured("cannot_write", f"cannot write {folder}: {reason}") from error
    sys.stdout.write(f"{sum(map(len, truth.values()))} plants in {len(truth)} files\n")
    return exits.OK


def _written(folder: Path, mebibytes: int) -> dict[str, list[dict[str, Any]]]:
    """Write everything; the truth as it was written."""
    site = build.make_site()
    site.write_knowledge(folder)
    truth = {name: [asdict(place) for place in places] for name, places in write_all(folder, site, mebibytes)}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return truth


def write_all(folder: Path, site: Site, mebibytes: int) -> Iterator[tuple[str, tuple[Place, ...]]]:
    """Write every container; name and places of each. Compressed ones have the places of their content."""
    core = build.core(site, make_keys())
    plain = {
        "raw.img": build.raw(site),
        "text-filled.img": build.raw(site, b"lorem ipsum dolor sit amet, "),
        "core": core,
        "windows.dmp": build.minidump(site),
        "windows-small.dmp": build.minidump(site, wide=False),
    }
    for name, planted in plain.items():
        (folder / name).write_bytes(planted.data)
        yield name, planted.places
    for suffix, squeeze in (("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)):
        (folder / f"core.{suffix}").write_bytes(squeeze(core.data))
        yield f"core.{suffix}", core.places
    if mebibytes:
        yield "big.core", write_big(folder / "big.core", core, mebibytes)


def write_big(path: Path, core: Planted, mebibytes: int) -> tuple[Place, ...]:
    """A core of a given size: the small core's content, then memory as a busy process has it, nothing planted
    in it.

    A third each of random pages, zero pages and small numbers with addresses.
    """
    words = b"".join(
        (0x7F0000001000 + 64 * n).to_bytes(8, "little") + (n % 97).to_bytes(8, "little") for n in range(256)
    )
    with path.open("wb") as file:
        file.write(core.data)
        file.write(bytes(-file.tell() % build.SPACING))
        while file.tell() < mebibytes * _PIECE:
            file.write(os.urandom(_PIECE))
            file.write(bytes(_PIECE))
            file.write(words * (_PIECE // len(words)))
        file.truncate(mebibytes * _PIECE)
    return core.places
