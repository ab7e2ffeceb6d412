"""Facts are read from the pseudo-files that are there; what is not there is never called good."""

import resource
from pathlib import Path

import pytest

from sealwright.supervisor.host import SECRET_MEMORY, Fact, Verdict, host_facts, memory_shortage


def facts(root: Path) -> dict[str, Fact]:
    return {fact.name: fact for fact in host_facts(root / "state" / "deep", root)}


def put(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_on_a_bare_host_nothing_is_promised(tmp_path: Path) -> None:
    found = facts(tmp_path)
    assert found["TEE"].verdict is Verdict.WEAK
    assert found["ptrace_scope"].verdict is Verdict.WEAK
    assert found["security modules"].verdict is Verdict.INFO
    assert found["core_pattern"].found == "unknown"
    assert all(fact.reason for fact in found.values())


@pytest.mark.parametrize("device", ["dev/sev-guest", "dev/tdx_guest", "dev/nsm"])
def test_a_tee_is_seen_by_its_device(tmp_path: Path, device: str) -> None:
    put(tmp_path, device)
    assert facts(tmp_path)["TEE"].verdict is Verdict.GOOD


@pytest.mark.parametrize(("lines", "verdict"), [(1, Verdict.GOOD), (2, Verdict.WEAK)])
def test_swap_that_is_on_is_a_weakness(tmp_path: Path, lines: int, verdict: Verdict) -> None:
    text = ["Filename Type Size Used Priority", "/dev/sda2 partition 1 0 -2"]
    put(tmp_path, "proc/swaps", "\n".join(text[:lines]) + "\n")
    assert facts(tmp_path)["swap"].verdict is verdict


@pytest.mark.parametrize(
    ("scope", "verdict"), [("0", Verdict.WEAK), ("1", Verdict.GOOD), ("3", Verdict.GOOD)]
)
def test_tracing_at_will_is_a_weakness(tmp_path: Path, scope: str, verdict: Verdict) -> None:
    put(tmp_path, "proc/sys/kernel/yama/ptrace_scope", scope + "\n")
    assert facts(tmp_path)["ptrace_scope"].verdict is verdict


@pytest.mark.parametrize(
    ("modules", "verdict"), [("capability,landlock,yama", Verdict.GOOD), ("capability", Verdict.WEAK)]
)
def test_landlock_is_seen_in_the_list(tmp_path: Path, modules: str, verdict: Verdict) -> None:
    put(tmp_path, "sys/kernel/security/lsm", modules)
    assert facts(tmp_path)["security modules"].verdict is verdict


@pytest.mark.parametrize("pattern", ["core", "|/usr/lib/systemd/systemd-coredump %P", "@/run/gate.sock"])
def test_where_dumps_go_is_shown(tmp_path: Path, pattern: str) -> None:
    put(tmp_path, "proc/sys/kernel/core_pattern", pattern + "\n")
    assert facts(tmp_path)["core_pattern"].found == pattern


@pytest.mark.parametrize(
    ("limit", "effective", "short"),
    [
        (8 << 20, "0000000000000000", True),
        (8 << 20, "0000000000004000", False),
        (SECRET_MEMORY, "0000000000000000", False),
        (resource.RLIM_INFINITY, "0000000000000000", False),
    ],
)
def test_a_limit_that_leaves_no_secret_memory_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, effective: str, *, short: bool
) -> None:
    put(tmp_path, "proc/self/status", f"Name:\tx\nCapEff:\t{effective}\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    assert bool(memory_shortage(tmp_path)) is short
    fact = facts(tmp_path)["memory that may be locked"]
    assert (fact.verdict is Verdict.WEAK) is short
    assert ("LimitMEMLOCK=128M" in fact.reason) is short
