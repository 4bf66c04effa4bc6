"""An explanation of a feed as text and as one self-contained HTML page: no script, nothing that is loaded."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from simulation.feeds.explain import Change, Explanation, PageFigures, Shown

OWN_REACTIONS: Final = (
    "Your own likes, reposts and replies do not change what this feed shows to you. They lift the post for others: a "
    "like counts in the ranking of everybody, and a repost shows the post to those who follow you."
)

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b1b1f;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem}
article{border:1px solid #c9c9d2;border-radius:8px;padding:.8rem 1rem;margin:1rem 0}
blockquote{margin:.4rem 0;font-size:1.05rem}
.who,.small{color:#55555f;font-size:.9rem}.against{color:#8a2c0d}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid #dcdce2}
td.number,th.number{text-align:right}
@media(prefers-color-scheme:dark){body{color:#e8e8ee;background:#16161a}article,th,td{border-color:#44444e}
.who,.small{color:#a9a9b6}.against{color:#ffab85}}
"""


def as_text(found: Explanation, names: Sequence[str]) -> str:
    """What is said to the reader, in lines.

    Args:
        found: of one reader.
        names: of all accounts.
    """
    lines = [f"The feed “{found.feed}” of {names[found.reader]}", ""]
    for place, shown in enumerate(found.page, 1):
        lines += [f"{place}. {names[shown.author]}: {shown.text}", f"   {shown.found}"]
        lines += [f"   {reason}" for reason in shown.reasons]
        lines += [f"   It goes against: {', '.join(shown.against)}."] if shown.against else []
    lines += ["", "A healthier mix, by the values you stated", *_compared(found.mix, found.healthier)]
    lines += [f"   out: {text}" for text in found.leaving] + [f"   in: {text}" for text in found.coming]
    lines += ["", "What you could do", *(f"   {_act(change)}" for change in found.changes), f"   {OWN_REACTIONS}"]
    return "\n".join(lines)


def _compared(before: PageFigures, after: PageFigures) -> list[str]:
    return [
        f"   rating against values, 0 to 1: {before.rating:.3f} now, {after.rating:.3f} then",
        f"   reactions the page would draw from you: {before.reactions:.2f} now, {after.reactions:.2f} then",
        f"   posts by way of accounts you follow: {before.followed:.0%} now, {after.followed:.0%} then",
        f"   different authors: {before.authors} now, {after.authors} then",
    ]


def _act(change: Change) -> str:
    many = "nothing on this page" if not change.replaced else f"{change.replaced} of the posts on this page"
    return f"If you {change.act}, {many} would be replaced; the rating against values would be {change.mix.rating:.3f}."


def as_page(found: Explanation, names: Sequence[str]) -> str:
    """What is said to the reader, as a page.

    Args:
        found: of one reader.
        names: of all accounts.
    """
    posts = "".join(_article(place, shown, names) for place, shown in enumerate(found.page, 1))
    rows = "".join(
        f"<tr><td>{html.escape(label)}</td><td class=number>{now}</td><td class=number>{then}</td></tr>"
        for label, now, then in (
            ("rating against values, 0 to 1", f"{found.mix.rating:.3f}", f"{found.healthier.rating:.3f}"),
            ("reactions it would draw from you", f"{found.mix.reactions:.2f}", f"{found.healthier.reactions:.2f}"),
            ("by way of accounts you follow", f"{found.mix.followed:.0%}", f"{found.healthier.followed:.0%}"),
            ("different authors", str(found.mix.authors), str(found.healthier.authors)),
        )
    )
    acts = "".join(f"<li>{html.escape(_act(change))}</li>" for change in found.changes)
    title = html.escape(f"Why {names[found.reader]} sees this")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>The feed “{html.escape(found.feed)}”, from the top. Reasons are parts of the ranking in which a post is "
        f"ahead of the typical post that could be shown, the largest first. The posts are simulated.</p>{posts}"
        f"<h2>A healthier mix, by the values you stated</h2><table><thead><tr><th></th><th class=number>now</th>"
        f"<th class=number>then</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{_listed('What would leave the page', found.leaving)}{_listed('What would come', found.coming)}"
        f"<h2>What you could do</h2><ul>{acts}<li>{html.escape(OWN_REACTIONS)}</li></ul></main></body></html>\n"
    )


def _article(place: int, shown: Shown, names: Sequence[str]) -> str:
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in (shown.found, *shown.reasons))
    against = f"<p class=against>It goes against: {html.escape(', '.join(shown.against))}.</p>" if shown.against else ""
    parts = ", ".join(f"{name} {value:+.1f}" for name, value in shown.parts.items() if abs(value) >= 0.05)
    return (
        f"<article><div class=who>{place}. {html.escape(names[shown.author])}, {shown.hours:.1f} hours ago</div>"
        f"<blockquote>{html.escape(shown.text)}</blockquote><ul>{reasons}</ul>{against}"
        f"<div class=small>Parts of its score against the typical candidate: {html.escape(parts)}</div></article>"
    )


def _listed(title: str, texts: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts) or "<li>nothing</li>"
    return f"<h3>{title}</h3><ul>{items}</ul>"
