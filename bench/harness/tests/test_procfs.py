import os
import subprocess
import sys
import time

import pytest

from harness import procfs

pytestmark = pytest.mark.skipif(not procfs.PROC.is_dir(), reason="NO /proc HERE: the benchmark reads Linux's")

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_family_is_the_process_and_its_descendants() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as parent:
        deadline = time.monotonic() + 30
        while len(procfs.family(parent.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        family = procfs.family(parent.pid)
        for pid in family:
            os.kill(pid, 9)
    assert family[0] == parent.pid
    assert len(family) == 2
    assert os.getpid() not in family


def test_used_cpu_grows_and_a_process_that_has_gone_is_left_out() -> None:
    before = procfs.cpu_seconds([os.getpid()])[os.getpid()]
    while (after := procfs.cpu_seconds([os.getpid()])[os.getpid()]) == before:
        sum(range(10_000))
    assert after > before
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert procfs.cpu_seconds([gone.pid]) == {}
    assert procfs.memory(gone.pid) is None


def test_memory_of_this_process_is_read() -> None:
    found = procfs.memory(os.getpid())
    assert found is not None
    assert found.rss > 1_000_000
    assert found.pss is not None
    assert 0 < found.pss <= found.rss


def test_roles_are_summed() -> None:
    assert procfs.by_role([("a", 1.0), ("b", 2.0), ("a", 0.5)]) == {"a": 1.5, "b": 2.0}
