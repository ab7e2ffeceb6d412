"""The public face: small, documented, importable with nothing but cryptography; safe in threads and after a
fork.
"""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import sealwright_validate
from sealwright_validate import Expect, Reason, Refused, Trust, Validator
from sealwright_validate.clock import SYSTEM_CLOCK
from sealwright_validate.conformance.authority import ThrowawayAuthority
from sealwright_validate.conformance.server import LoopbackServer, Served

World = Any
EXPECT = Expect(audience="https://mail.example", realm="enterprise")


def test_the_public_names_are_few_and_each_says_what_it_is() -> None:
    names = sealwright_validate.__all__
    assert names == sorted(names)
    assert len(names) < 20
    for name in names:
        assert len(inspect.getdoc(getattr(sealwright_validate, name)) or "") > 20, name


@pytest.mark.parametrize("made", [Expect, Trust, Validator, sealwright_validate.VerifiedToken])
def test_every_public_method_says_what_it_does(made: Any) -> None:
    for name, member in inspect.getmembers(made):
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
            assert inspect.getdoc(member), name


def test_importing_it_brings_no_framework_no_http_and_no_other_package_of_ours() -> None:
    program = "import sys, sealwright_validate; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    for heavy in ("asyncio", "http.client", "ssl", "email", "importlib.metadata", "xml", "sqlite3"):
        assert heavy not in loaded, heavy
    ours = {name.partition(".")[0] for name in loaded if name.startswith("sealwright")}
    assert ours == {"sealwright_validate"}
    assert not loaded & {"flask", "django", "fastapi", "starlette", "grpc", "rich", "jwt"}


def test_every_module_says_what_it_may_never_do() -> None:
    folder = Path(sealwright_validate.__file__).parent
    silent = []
    for path in sorted(folder.rglob("*.py")):
        said = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
        if "never" not in said.lower() and path.name != "__init__.py":
            silent.append(path.name)
    assert silent == []


def test_many_threads_share_one_validator(world: World) -> None:
    good = [world.authority.token(world.key, sub=f"user-{number}") for number in range(50)]
    bad = [world.authority.token(world.key, aud="https://files.example") for _ in range(50)]

    def judge(at: int) -> bool:
        token = (good if at % 2 else bad)[at % 50]
        try:
            return bool(world.validator.validate(token, EXPECT).subject == f"user-{at % 50}")
        except Refused as refusal:
            return at % 2 == 0 and refusal.reason is Reason.AUDIENCE_NOT_ALLOWED

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(judge, range(2000)))


@pytest.fixture
def site(socket_enabled: None) -> Iterator[tuple[Served, ThrowawayAuthority]]:
    with LoopbackServer(Served()) as server:
        authority = ThrowawayAuthority(SYSTEM_CLOCK.wall(), server.url)
        server.served.roots = authority.roots
        yield server.served, authority


FORKING = """
import os, sys, time
from sealwright_validate import Expect, Report, Trust, Validator
url, root, before, after, published = sys.argv[1:]
report = Report("mail-api", "secret", name="forked")
validator = Validator(trust=Trust.sealwright(url, root=root), report=report)
expect = Expect(audience="https://mail.example", realm="enterprise")
validator.validate(before, expect)
child = os.fork()
if child == 0:
    while not os.path.exists(published):
        time.sleep(0.01)
    verified = validator.validate(after, expect)  # a key that only a new pull can bring
    validator.close()
    os._exit(0 if verified.realm == "enterprise" else 1)
_, status = os.waitpid(child, 0)
validator.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.enable_socket
@pytest.mark.skipif(not hasattr(os, "fork"), reason="FORK ABSENT: this system has none")
def test_a_fork_learns_new_keys_and_reports(site: tuple[Served, ThrowawayAuthority], tmp_path: Path) -> None:
    served, authority = site
    first = authority.make_key()
    served.manifest = authority.served(life=600)
    root = tmp_path / "root.json"
    root.write_bytes(authority.roots[0])
    second = authority.make_key()
    tokens = authority.token(first), authority.token(second)

    command = [sys.executable, "-c", FORKING, authority.url, str(root), *tokens, str(tmp_path / "published")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        while not served.observations and running.poll() is None:
            os.sched_yield()
        served.manifest = authority.publish(life=600)
        (tmp_path / "published").touch()
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert {entry["kid"] for entry in served.observations} == {first.kid, second.kid}


ENDING = """
import sys
from sealwright_validate import Expect, Report, Trust, Validator
url, root, token = sys.argv[1:]
report = Report("mail-api", "secret", name="short")
validator = Validator(trust=Trust.sealwright(url, root=root), report=report)
validator.validate(token, Expect(audience="https://mail.example", realm="enterprise"))
"""


@pytest.mark.enable_socket
@pytest.mark.parametrize("down", [False, True])
def test_a_program_that_just_ends_gets_its_observations_out_or_says_that_it_lost_them(
    site: tuple[Served, ThrowawayAuthority], tmp_path: Path, down: bool
) -> None:
    served, authority = site
    key = authority.make_key()
    served.manifest = authority.served(life=600)
    if down:
        served.credentials = ("another", "secret")
    root = tmp_path / "root.json"
    root.write_bytes(authority.roots[0])
    command = [sys.executable, "-c", ENDING, authority.url, str(root), authority.token(key)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(served.observations) == (0 if down else 1)
    assert ("1 observations end with this process" in ran.stderr) == down
