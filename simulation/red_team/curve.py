"""Draws recall over the rounds, the adaptive operator's beside the control's."""

from __future__ import annotations

from typing import Final

from simulation.red_team.intervals import clopper_pearson
from simulation.red_team.rounds import SIDES, Game

COLOURS: Final = {"adaptive": "#b91c1c", "control": "#1d4ed8"}

WIDTH: Final = 720
HEIGHT: Final = 320
LEFT: Final = 60
TOP: Final = 40

WINDOW: Final = 5
"""Rounds that a point of the line sums: a single round has few accounts."""


def recall(game: Game, side: str, first: int, last: int) -> tuple[int, int]:
    """Flagged accounts and accounts that acted in the rounds [first, last)."""
    totals = [each.total(side) for each in game.rounds[max(first, 0) : last]]
    return sum(total[1] for total in totals), sum(total[0] for total in totals)


def svg(game: Game) -> str:
    """The drawing: dots are rounds, lines sum up to `WINDOW` rounds, bands are their 95% intervals."""
    n = max(len(game.rounds), 2)

    def x(number: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * number / (n - 1)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - 50) * (1 - share)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Share of an operator\'s accounts that are flagged, by round</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path d="M{LEFT} {y(share):.1f}H{WIDTH - 20}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" font-size="11" text-anchor="end">{share:.0%}</text>')
    for number in range(0, len(game.rounds), 5):
        label = f'<text x="{x(number):.1f}" y="{HEIGHT - 30}" font-size="11" text-anchor="middle">{number + 1}</text>'
        parts.append(label)
    for place, side in enumerate(SIDES):
        colour = COLOURS[side]
        sums = [recall(game, side, i + 1 - WINDOW, i + 1) for i in range(len(game.rounds))]
        bounds = [clopper_pearson(hits, of) for hits, of in sums]
        up = [f"{x(i):.1f},{y(high):.1f}" for i, (_, high) in enumerate(bounds)]
        down = [f"{x(i):.1f},{y(low):.1f}" for i, (low, _) in enumerate(bounds)]
        parts.append(f'<polygon points="{" ".join(up + down[::-1])}" fill="{colour}" fill-opacity="0.12"/>')
        line = " ".join(f"{x(i):.1f},{y(hits / max(of, 1)):.1f}" for i, (hits, of) in enumerate(sums))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for i in range(len(game.rounds)):
            hits, of = recall(game, side, i, i + 1)
            parts.append(f'<circle cx="{x(i):.1f}" cy="{y(hits / max(of, 1)):.1f}" r="2.5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 90 * place}" y="{HEIGHT - 10}" font-size="12" fill="{colour}">{side}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
