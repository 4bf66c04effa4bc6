"""One typography for all texts, so that no model can learn a platform's or a data set's marks.

Data sets mask links and mentions differently (`@user`, `http`, `https://t.co/x`, `<URL>`), curl quotes or not, damage
emoji, escape HTML or JSON, and cut at 140 or 500 characters. All of that goes; what is left is words, their case and
their punctuation. Nothing is kept from one text to the next.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

TEXT_CUT: Final = 500
"""Characters of a text that are read; the rest is not seen. Equal to what the observation log keeps, so that a text
says the same whether it is read from the stream or from the log."""

CUT_LENGTHS: Final = frozenset({139, 140, 279, 280})
"""Raw lengths at which platforms cut: a text this long that ends inside a word has lost the rest of that word."""

_QUOTES = dict.fromkeys(map(ord, "‘’‚‛`´ʼ′＇"), "'") | dict.fromkeys(map(ord, "“”„‟«»″＂"), '"')
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_ODD = {ord("…"): "...", ord("•"): "-", ord("·"): "-"}

_KEPT_SYMBOLS: Final = frozenset("€£¥%$+<>=~|^")


class _Translate(dict[int, str]):
    """What a character becomes, worked out once per character: quotes and dashes straight, emoji and controls gone."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:
            value = ""
        elif category in {"Zs", "Zl", "Zp", "Cc", "Cs", "Co", "Cn"}:
            value = " "
        elif category in {"So", "Sk", "Sm"}:
            value = char if char in _KEPT_SYMBOLS else " "
        else:
            value = char
        if code < 0x10000:  # bounded by the plane that texts are mostly written in
            self[code] = value
        return value


_table = _Translate(_QUOTES | _DASHES | _ODD)

_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[nrt](?![a-z]))")
_control = re.compile(r"[\x00-\x1f\x7f]+")
_url = re.compile(
    r"(?i)\(?(?:\bhttps?:\s?/{1,2}\s?\S*|\bwww\.\S+|\bpic\.twitter\.com\S*"
    r"|\b[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)*\.(?:com|org|net|co|ly|me|gov|edu|io|tv|info|example|be|gl)/\S*"
    r"|[<\[{]{1,2}\s?(?:url|link|http)s?\s?[>\]}]{1,2}|\bhttpurl\b|\bhttps?(?:/url)?\b(?![\w'-])…?)"
)
_markdown_link = re.compile(r"\[([^\]\n]{1,200})\]\([^)\s]{0,500}\)?")
_mention = re.compile(r"(?i)\{@[^{}\n]{1,60}@\}|\{\{\s?user(?:name)?\s?\}\}|<user(?:name)?>|@\s?anonymous\b|@\w+:?")
_retweet = re.compile(r"^(?:\W{0,3}\bRT\b[\s:]*)+")
_lost_emoji = re.compile(r"(?<!\S)(?:\?{2,}|\ufffd+)(?!\S)")
_before_mark = re.compile(r" +(?=[?!,;:](?:\s|$|[?!.]))| +(?=\.(?!\w))")
_long_run = re.compile(r"(\S)\1{3,}")
_trailing_cut = re.compile(r"\s*\S*…\s*$")
_last_word = re.compile(r"\s+\S+$")


def normalise(text: str) -> str:
    """The text as the models read it: at most `TEXT_CUT` characters, single spaces, no marks of where it came from.

    Case and punctuation stay. Empty when nothing is left.

    >>> normalise("RT @user: I&#39;m “he” 🎉 here… https://t.co/a1b2")
    'I\\'m "here'
    """
    cut = len(text) > TEXT_CUT or len(text) in CUT_LENGTHS or len(text) == TEXT_CUT
    text = text[:TEXT_CUT]
    if "&" in text:
        text = html.unescape(html.unescape(text))[:TEXT_CUT]
    if "\\" in text:
        text = _escape.sub(_unescape, text).replace('\\"', '"').replace("\\'", "'")
    if cut and text and (text[-1].isalnum() or text[-1] in "/@#…"):
        text = _last_word.sub("", text)
    if "](" in text:
        text = _markdown_link.sub(r"\1", text)
    lowered = text.lower()
    if "/" in text or "http" in lowered or "url" in lowered or "www." in lowered or "link" in lowered:
        text = _url.sub(" ", text)
    if not text.isascii():
        text = _trailing_cut.sub("", text) if text.rstrip().endswith("…") else text
        text = unicodedata.normalize("NFKC", text.translate(_table)).translate(_table)
    else:
        text = _control.sub(" ", text.replace("`", "'"))
    if "@" in text or "user" in lowered:
        text = _mention.sub(" ", text)
    if "RT" in text:
        text = _retweet.sub("", text)
    text = _lost_emoji.sub(" ", text) if "??" in text or "\ufffd" in text else text
    text = _long_run.sub(r"\1\1\1", text)
    text = " ".join(text.split())
    text = _before_mark.sub("", text)
    text = text[:TEXT_CUT].strip(" -")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip(" -")
    return text


def _unescape(match: re.Match[str]) -> str:
    digits = match.group(1) or match.group(2)
    if digits is None:
        return " "
    char = chr(int(digits, 16))
    return " " if unicodedata.category(char) in {"Cs", "Cc", "Co", "Cn"} else char
