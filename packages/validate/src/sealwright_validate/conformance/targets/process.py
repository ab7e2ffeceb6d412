"""Targets in other languages: a program that reads JSON lines and answers each with a verdict.

The first line is the setup, each further one `{"token": …}`; each answer is `{"accepted": bool, "detail":
text}`. May never wait for an answer without end.
"""

import json
import shutil
import subprocess
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any, Final

from sealwright_validate.conformance.targets.model import Said, Setup, TargetAbsentError, Verdict

_ANSWER_WITHIN: Final = 10.0  # seconds
JOSE_PROGRAM: Final = Path(__file__).resolve().parents[1] / "adapters" / "jose.mjs"


class Process:
    """A running adapter."""

    def __init__(self, name: str, command: list[str], folder: Path, setup: Setup) -> None:
        if shutil.which(command[0]) is None:
            raise TargetAbsentError(f"{command[0]} is not installed")
        self.name = name
        self.knows_manifest = False
        self._running = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._lines: Queue[str] = Queue()
        Thread(target=self._read, daemon=True).start()
        hello = self._ask(
            {
                "issuer": setup.issuer,
                "audience": setup.audience,
                "token_type": setup.token_type,
                "algorithms": list(setup.algorithms),
                "jwks": setup.jwks,
                "now": setup.now,
            }
        )
        if "version" not in hello:
            self.close()
            raise TargetAbsentError(f"{name}: {hello.get('detail', 'it did not start')}")
        self.version = str(hello["version"])

    def judge(self, token: str) -> Said:
        """Put one token to it."""
        answer = self._ask({"token": token})
        if "accepted" not in answer:
            return Said(Verdict.CRASHED, str(answer.get("detail", "no answer")))
        detail = str(answer.get("detail", ""))
        return Said(Verdict.ACCEPTED if answer["accepted"] is True else Verdict.REFUSED, detail)

    def close(self) -> None:
        """End the program."""
        if self._running.stdin is not None:
            self._running.stdin.close()
        try:
            self._running.wait(5)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(5)
        if self._running.stdout is not None:
            self._running.stdout.close()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._running.stdin is None:
            return {}
        try:
            self._running.stdin.write(json.dumps(question) + "\n")
            self._running.stdin.flush()
            answer = json.loads(self._lines.get(timeout=_ANSWER_WITHIN))
        except (OSError, Empty, ValueError) as error:
            return {"detail": type(error).__name__}
        return answer if isinstance(answer, dict) else {}

    def _read(self) -> None:
        if self._running.stdout is not None:
            for line in self._running.stdout:
                self._lines.put(line)


def jose_on_node(setup: Setup, folder: Path) -> Process:
    """`jose` on node. `folder` is where `npm ci` put it (its package.json is beside this repository's
    adapters).
    """
    if not (folder / "node_modules" / "jose").is_dir():
        raise TargetAbsentError(f"jose is not in {folder / 'node_modules'}: run npm ci there")
    return Process("jose (node)", ["node", str(JOSE_PROGRAM)], folder, setup)
