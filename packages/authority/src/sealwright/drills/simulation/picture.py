"""Draws a simulated schedule as SVG: one bar per key, coloured by state, time from left to right. Pure."""

from __future__ import annotations

from sealwright.drills.simulation.run import DAY, Outcome
from sealwright.drills.simulation.world import START
from sealwright.keys.model import KeyState

COLOURS = {
    KeyState.STAGED: "#9ec9ff",
    KeyState.ACTIVE: "#2f9e53",
    KeyState.VERIFY_ONLY: "#d9b44a",
    KeyState.REVOKED: "#cc3344",
}
WIDTH, LEFT, TOP, BAR, GAP = 1_000, 130, 60, 10, 4
HOURS_PER_TICK = 6


def draw(outcome: Outcome, days: float) -> str:
    """The first `days` of a simulation as an SVG document."""
    end = START + min(days, outcome.days) * DAY
    shown = sorted(
        ((kid, seen) for kid, seen in outcome.states.items() if seen[0][0] < end),
        key=lambda item: (outcome.realms[item[0]], item[1][0][0]),
    )
    height = TOP + len(shown) * (BAR + GAP) + 30
    scale = (WIDTH - LEFT - 20) / (end - START)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
        ),
        '<text x="10" y="20" font-size="15">Keys of the first days: each bar is one key</text>',
    ]
    for number, (state, colour) in enumerate(COLOURS.items()):
        key_x = LEFT + number * 110
        lines.append(f'<rect x="{key_x}" y="30" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{key_x + 17}" y="40">{state}</text>')
    moment: float = START
    while moment <= end:
        x = LEFT + (moment - START) * scale
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 20}" stroke="#e3e7ee"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle">{(moment - START) / 3600:.0f} h</text>'
        )
        moment += HOURS_PER_TICK * 3_600
    for number, (kid, seen) in enumerate(shown):
        lines.extend(_bar(kid, outcome.realms[kid], seen, TOP + number * (BAR + GAP), scale, end))
    return "\n".join([*lines, "</svg>", ""])


def _bar(
    kid: str, realm: str, seen: list[tuple[float, KeyState]], y: int, scale: float, end: float
) -> list[str]:
    lines = [f'<text x="6" y="{y + 9}">{realm} {kid[:6]}</text>']
    for number, (begin, state) in enumerate(seen):
        until = min(seen[number + 1][0] if number + 1 < len(seen) else end, end)
        if state in COLOURS and until > begin:
            x, width = LEFT + (begin - START) * scale, max((until - begin) * scale, 0.8)
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[state]}"/>'
            )
    return lines
