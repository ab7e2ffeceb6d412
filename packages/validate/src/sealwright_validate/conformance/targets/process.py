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

_START_WITHIN: Final = 90.0  # seconds: java compiles its program first
_ANSWER_WITHIN: Final = 20.0  # seconds
_ADAPTERS: Final = Path(__file__).resolve().parents[1] / "adapters"
JOSE_PROGRAM: Final = _ADAPTERS / "jose.mjs"
SPRING_PROGRAM: Final = _ADAPTERS / "Spring.java"


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
        self._lost = False
        Thread(target=self._read, daemon=True).start()
        hello = self._ask(
            {
                "issuer": setup.issuer,
                "audience": setup.audience,
                "token_type": setup.token_type,
                "algorithms": list(setup.algorithms),
                "jwks": setup.jwks,
                "jwks_uri": setup.jwks_uri,
                "now": setup.now,
            },
            within=_START_WITHIN,
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

    def _ask(self, question: dict[str, Any], within: float = _ANSWER_WITHIN) -> dict[str, Any]:
        if self._running.stdin is None or self._lost:
            return {"detail": "no answer any more"}
        try:
            self._running.stdin.write(json.dumps(question) + "\n")
            self._running.stdin.flush()
            answer = json.loads(self._lines.get(timeout=within))
        except (OSError, Empty, ValueError) as error:
            self._lost = True  # a late answer would be taken for that of the next token
            return {"detail": type(error).__name__}
        return answer if isinstance(answer, dict) else {}

    def _read(self) -> None:
        if self._running.stdout is not None:
            for line in self._running.stdout:
                self._lines.put(line)


def spring_on_java(setup: Setup, folder: Path) -> Process:
    """Spring Security's resource server on java. `folder` is where Maven put the jars (the pom.xml is beside
    this repository's adapters).
    """
    if not any(folder.glob("spring-security-oauth2-jose-*.jar")):
        raise TargetAbsentError(f"the jars of Spring are not in {folder}: run mvn package beside its pom.xml")
    # javac is part of a JDK; a JRE cannot start a program from its source.
    if shutil.which("javac") is None:
        raise TargetAbsentError("javac is not installed")
    quiet = "-Djava.util.logging.config.file=/dev/null"
    command = ["java", quiet, "-cp", f"{folder.resolve()}/*"]
    return Process("Spring Security", [*command, str(SPRING_PROGRAM)], folder, setup)


def jose_on_node(setup: Setup, folder: Path) -> Process:
    """`jose` on node. `folder` is where `npm ci` put it (its package.json is beside this repository's
    adapters).
    """
    if not (folder / "node_modules" / "jose").is_dir():
        raise TargetAbsentError(f"jose is not in {folder / 'node_modules'}: run npm ci there")
    return Process("jose (node)", ["node", str(JOSE_PROGRAM)], folder, setup)
