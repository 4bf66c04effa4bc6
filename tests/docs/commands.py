"""Every command that the documentation shows, found in its code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent

PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCED: Final = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED: Final = re.compile(r"(?:^    (?!    )(?:swarmlight|make|python|pip) [^\n]*\n)+", re.MULTILINE)
_INLINE: Final = re.compile(r"`((?:swarmlight|make) (?:[^`\n]|\n(?!\n))+)`")
"""Commands in running text, where a line of the page may end within one."""


@dataclass(frozen=True)
class Command:
    """One command line of a page."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def blocks(page: Path, language: str = "bash") -> list[tuple[str, str]]:
    """The fenced blocks of a language: (what stands after the language, the block)."""
    text = page.read_text(encoding="utf-8")
    return [(match[2].strip(), match[3]) for match in _FENCED.finditer(text) if match[1] == language]


def commands(page: Path) -> list[Command]:
    """Commands of a page, in blocks and in running text, continued lines joined, comments removed."""
    name = str(page.relative_to(ROOT))
    text = page.read_text(encoding="utf-8")
    lines: list[str] = []
    for match in _FENCED.finditer(text):
        if match[1] in {"bash", "sh", "console", ""}:
            lines += re.sub(r"\\\n\s*", "", re.sub(r"<<'EOF'.*?^EOF$", "", match[3], flags=re.S | re.M)).splitlines()
    bare = _FENCED.sub("", text)
    for match in _INDENTED.finditer(bare):
        lines += match[0].splitlines()
    lines += [re.sub(r"\s+", " ", match[1]) for match in _INLINE.finditer(bare)]
    cleaned = (re.sub(r"\s+#.*$", "", line).strip() for line in lines)
    return [Command(name, line) for line in cleaned if re.match(r"(?:swarmlight|make|python -m) \S", line)]
