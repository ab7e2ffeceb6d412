"""The golden issuer: the attacker is the front end. What is caught of that, and what is not, is shown alike.

A ledger proves that a token was issued by us, not that it should have been. This drill is there so that
nobody takes the one for the other.
"""

from __future__ import annotations

from sealwright.drills.golden_issuer import attack
from sealwright.drills.golden_issuer.attack import Control
from sealwright.drills.model import Drill
from sealwright.drills.sandbox import Sandbox

DRILL = Drill(
    name="golden-issuer",
    shows="the attacker is inside the front end and speaks to the signer: what is caught, and what is not",
    steps=(attack.run,),
    controls=tuple(Control),
    titles={
        "1": "beyond the signer's policy",
        "2": "without a leaf",
        "3": "beyond what clients may do",
        "4": "an ordinary token, signed past the token endpoint",
        "5": "an ordinary token from the endpoint itself, that nobody asked for",
    },
    scene="starting a sandbox, and taking the authority's place at the signer",
    place=Sandbox,
)
