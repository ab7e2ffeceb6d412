"""Parts start in order, end in reverse, and come back when they die."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sealwright.errors import Misconfigured, Unavailable
from sealwright.supervisor.rules import FIRST_DELAY
from sealwright.supervisor.service import START_LIMIT, Supervisor


@dataclass
class Story:
    """What happened, in order; also the clock."""

    lines: list[str] = field(default_factory=list)
    at: float = 0.0

    def add(self, what: str) -> None:
        self.lines.append(what)

    def monotonic(self) -> float:
        return self.at

    def up(self, part: str, pid: int | None, seconds: float, *, again: bool) -> None:
        self.add(f"{part} {'again' if again else 'up'}")

    def died(self, part: str, how: str, delay: float) -> None:
        self.add(f"{part} died: {how}")

    def stopped(self, part: str) -> None:
        self.add(f"{part} stopped")


@dataclass
class FakePart:
    """`Part` without a process."""

    name: str
    story: Story
    pid: int | None = None
    ending: str | None = None
    serves: bool = True
    obstacle: str | None = None
    refusal: str | None = None
    tended: int = 0
    tend_fails: bool = False
    bury_fails: bool = False
    stop_fails: bool = False

    def prepare(self) -> None:
        if self.obstacle:
            raise Misconfigured("port_in_use", self.obstacle)

    def start(self) -> None:
        self.story.add(f"{self.name} start")
        if self.refusal:
            raise Misconfigured("refused", self.refusal)
        self.pid, self.ending = 1, None

    def ready(self) -> bool:
        return self.pid is not None and self.serves

    def ended(self) -> str | None:
        return self.ending

    def tend(self) -> None:
        self.tended += 1
        if self.tend_fails:
            raise Unavailable("no", "cannot be tended")

    def bury(self) -> None:
        self.story.add(f"{self.name} buried")
        self.pid = None
        if self.bury_fails:
            raise Unavailable("no", "the disk is full")

    def stop(self) -> None:
        self.story.add(f"{self.name} stop")
        self.pid = self.ending = None
        if self.stop_fails:
            raise OSError("the disk is full")

    def last_words(self) -> str:
        return "the end of its log"


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def parts(story: Story) -> list[FakePart]:
    return [FakePart(name, story) for name in ("signer", "authority", "demo")]


def run_once(story: Story, parts: list[FakePart], then: Callable[[], None] = lambda: None) -> None:
    """Start everything, do `then` when it is up, and stop."""
    stop = threading.Event()

    def ready() -> None:
        story.add("ready")
        then()
        stop.set()

    Supervisor(parts, story, story.monotonic).run(stop, ready)


def started(story: Story, parts: list[FakePart]) -> Supervisor:
    """A supervisor whose parts are up; it does not loop by itself."""
    supervisor = Supervisor(parts, story, story.monotonic)
    for watched in supervisor._watched:
        supervisor._bring_up(watched, threading.Event())
    story.lines.clear()
    return supervisor


def test_parts_start_in_order_and_end_in_reverse(story: Story, parts: list[FakePart]) -> None:
    run_once(story, parts)
    assert story.lines == [
        "signer start", "signer up", "authority start", "authority up", "demo start", "demo up", "ready",
        "demo stop", "demo stopped", "authority stop", "authority stopped", "signer stop", "signer stopped",
    ]  # fmt: skip


def test_nothing_waits_for_a_spare_part_and_it_is_started_all_the_same(
    story: Story, parts: list[FakePart]
) -> None:
    stop = threading.Event()
    supervisor = Supervisor(parts, story, story.monotonic, spare=["signer"])

    def ready() -> None:
        story.add("ready")
        supervisor.tick()
        stop.set()

    supervisor.run(stop, ready)
    assert story.lines == [
        "authority start", "authority up", "demo start", "demo up", "ready", "signer start", "signer up",
        "demo stop", "demo stopped", "authority stop", "authority stopped", "signer stop", "signer stopped",
    ]  # fmt: skip


def test_an_obstacle_is_named_before_anything_starts(story: Story, parts: list[FakePart]) -> None:
    parts[2].obstacle = "its port is taken"
    with pytest.raises(Misconfigured, match="its port is taken"):
        run_once(story, parts)
    assert story.lines == []


def test_a_part_that_cannot_start_ends_everything(story: Story, parts: list[FakePart]) -> None:
    parts[1].refusal = "not today"
    with pytest.raises(Misconfigured, match="not today"):
        run_once(story, parts)
    assert story.lines[-2:] == ["signer stop", "signer stopped"]
    assert "demo start" not in story.lines


def test_a_part_that_ends_at_its_first_start_is_named_with_its_last_words(
    story: Story, parts: list[FakePart]
) -> None:
    parts[1].serves = False
    start = parts[1].start

    def start_and_end() -> None:
        start()
        parts[1].ending = "exit status 2"

    parts[1].start = start_and_end  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match=r"authority did not start: exit status 2") as caught:
        run_once(story, parts)
    assert caught.value.detail == "the end of its log"
    assert story.lines[-4:] == ["authority stop", "authority stopped", "signer stop", "signer stopped"]


def test_stopping_while_starting_ends_what_was_started(story: Story, parts: list[FakePart]) -> None:
    stop = threading.Event()
    parts[1].serves = False
    start = parts[1].start

    def start_and_stop() -> None:
        start()
        stop.set()

    parts[1].start = start_and_stop  # type: ignore[method-assign]
    Supervisor(parts, story, story.monotonic).run(stop, lambda: story.add("ready"))
    assert "ready" not in story.lines
    assert [part.pid for part in parts] == [None, None, None]


def test_what_dies_is_buried_and_comes_back_after_a_delay(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    parts[1].ending = "killed by SIGKILL"
    supervisor.tick()
    supervisor.tick()
    assert story.lines == ["authority buried", "authority died: killed by SIGKILL"]
    story.at += FIRST_DELAY
    supervisor.tick()
    assert story.lines[2:] == ["authority start", "authority again"]


def test_what_dies_again_and_again_is_never_given_up(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    for _ in range(20):
        parts[0].ending = "exit status 1"
        supervisor.tick()
        story.at += 10.0
        supervisor.tick()
    assert story.lines.count("signer again") == 20


def test_a_restart_that_is_refused_is_tried_again(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    parts[1].ending, parts[1].refusal = "exit status 1", "its port is taken"
    supervisor.tick()
    story.at += FIRST_DELAY
    supervisor.tick()
    assert story.lines[-1] == "authority died: its port is taken"
    parts[1].refusal = None
    story.at += 2 * FIRST_DELAY
    supervisor.tick()
    assert story.lines[-1] == "authority again"


def test_a_restart_that_never_serves_is_ended_and_tried_again(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    parts[1].ending, parts[1].serves = "exit status 1", False
    supervisor.tick()
    story.at += FIRST_DELAY
    supervisor.tick()
    story.at += START_LIMIT - 1
    supervisor.tick()
    assert "authority stop" not in story.lines
    story.at += 2
    supervisor.tick()
    assert "authority stop" in story.lines
    parts[1].serves = True
    story.at += 10
    supervisor.tick()
    assert story.lines[-1] == "authority again"


def test_tending_that_fails_ends_nothing(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    parts[0].tend_fails = True
    supervisor.tick()
    supervisor.tick()
    assert [part.tended for part in parts] == [2, 2, 2]
    assert story.lines == []


def test_what_cannot_be_buried_comes_back_all_the_same(story: Story, parts: list[FakePart]) -> None:
    supervisor = started(story, parts)
    parts[0].ending, parts[0].bury_fails = "killed by SIGKILL", True
    supervisor.tick()
    story.at += FIRST_DELAY
    supervisor.tick()
    assert story.lines[-1] == "signer again"


def test_what_fails_to_stop_keeps_no_other_from_stopping(story: Story, parts: list[FakePart]) -> None:
    for part in parts:
        part.stop_fails = True
    with pytest.raises(OSError, match="disk is full"):
        run_once(story, parts)
    assert [line for line in story.lines if line.endswith(" stop")] == [
        "demo stop",
        "authority stop",
        "signer stop",
    ]
