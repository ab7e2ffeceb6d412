"""A signer that is not what it says asks to be admitted: each way that it may try, and what refuses it."""

from __future__ import annotations

from sealwright.drills.model import Drill
from sealwright.drills.rogue_signer import (
    debug_machine,
    genuine,
    old_firmware,
    replayed_evidence,
    revoked_image,
    simulated_as_hardware,
    swapped_key,
    unadmitted_process,
    unadmitted_tokens,
)
from sealwright.drills.rogue_signer.gate import Control, Gate

DRILL = Drill(
    name="rogue-signer",
    shows="a signer that is not what it says asks for admission; each control that refuses it gets a verdict",
    steps=(
        genuine.run,
        unadmitted_process.run,
        debug_machine.run,
        old_firmware.run,
        revoked_image.run,
        replayed_evidence.run,
        swapped_key.run,
        simulated_as_hardware.run,
        unadmitted_tokens.run,
    ),
    controls=tuple(Control),
    titles={
        "1": "the right signer gets in",
        "2": "a process that nobody started",
        "3": "a machine that can be read",
        "4": "firmware with a known hole",
        "5": "an image with a known hole",
        "6": "evidence from yesterday",
        "7": "a key swapped after attestation",
        "8": "simulated, posing as hardware",
        "9": "what relying parties believe",
    },
    scene="making a chip maker of our own, whose root only this drill trusts; real signer processes",
    place=Gate,
)
