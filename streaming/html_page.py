"""A self-contained HTML page of tables and drawings: nothing outside it, no script, light and dark, wide and narrow.

The report of a run and that of the policy lab are such pages. What comes from events or files goes through `escaped`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final


def document(title: str, sections: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: its heading, not escaped yet.
        sections: of `section`.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escaped(title)}</h1>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def escaped(value: object) -> str:
    """Escaped, and without what changes the direction of the text around it."""
    text = "".join(" " if ord(char) < 32 or char in _DIRECTIONS else char for char in str(value))
    return html.escape(text)


_DIRECTIONS: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def section(heading: str, body: str) -> str:
    """A part of a page under its heading; `body` is HTML."""
    return f"<section><h2>{escaped(heading)}</h2>{body}</section>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; cells beyond the first column are numbers."""
    head = "".join(f'<th scope="col">{escaped(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    # What is wider than a phone scrolls, which a keyboard has to reach, too.
    label = escaped(f"Table of {', '.join(columns)}")
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{label}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#fff;--panel:#f4f6f9;--line:#d5dbe3;--mark:#b3261e;
--tie:#3c6ea8}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#a3adba;--paper:#12161c;--panel:#1b212a;--line:#36404d;
--mark:#ff8a80;--tie:#7fb2ef}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1100px;margin:0 auto;padding:1rem}h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:2.5rem;
border-bottom:1px solid var(--line)}h3{margin-bottom:.2rem}h4{margin:1rem 0 .3rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:.6rem}
.tile{background:var(--panel);padding:.6rem .8rem;border-radius:.4rem;color:var(--soft)}
.tile b{display:block;font-size:1.4rem;color:var(--ink)}
article{background:var(--panel);border-radius:.5rem;padding:.5rem 1rem 1rem;margin:1rem 0;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(17rem,100%),1fr));gap:1rem}
figure{margin:0}figcaption,small{color:var(--soft);font-size:.85rem}svg{width:100%;height:auto;max-height:24rem}
svg text{fill:var(--soft);font-size:11px}circle,.others{fill:var(--tie)}.ties line{stroke:var(--tie);opacity:.35}
.people{fill:none;stroke:var(--ink);stroke-width:1.5}.threshold{stroke:var(--mark);stroke-dasharray:4 3}
.flagged{fill:var(--mark)}.flag{color:var(--mark);font-weight:600;font-size:.85rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td:first-child{overflow-wrap:anywhere;min-width:9rem}.figures td:not(:first-child){white-space:nowrap}
.bar{display:inline-block;width:5rem;height:.6rem;background:var(--line);border-radius:.2rem;overflow:hidden}
.bar i{display:block;height:100%;background:var(--tie)}
"""
