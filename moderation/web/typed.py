"""What somebody typed into a form that could not be done: kept, and put back into the form that is shown again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import FormData

MAX_KEPT_CHARACTERS: Final = 4000
"""Of a field that is shown again: twice the longest note, so that one that was too long can be shortened."""


FIELDS: Final = ("decision", "reason", "policy", "note")
"""Fields of one value, in the order of `Typed`."""


@dataclass(frozen=True)
class Typed:
    """Fields of the form of an alert's page; empty where nothing was typed."""

    decision: str = ""
    reason: str = ""
    policy: str = ""
    note: str = ""
    account: tuple[str, ...] = ()
    cover: tuple[str, ...] = ()

    @classmethod
    def of(cls, form: FormData) -> Typed:
        """What a form holds."""
        decision, reason, policy, note = (kept(str(form.get(name, ""))) for name in FIELDS)
        account, cover = (tuple(str(each) for each in form.getlist(name)) for name in ("account", "cover"))
        return cls(decision, reason, policy, note, account, cover)

    @classmethod
    def of_draft(cls, fields: Mapping[str, str]) -> Typed:
        """What a draft holds."""
        decision, reason, policy, note = (kept(fields.get(name, "")) for name in FIELDS)
        return cls(decision, reason, policy, note)


NOTHING: Final = Typed()


def kept(text: str) -> str:
    """A text as it is shown in a form again: cut, and without the control characters that no form takes."""
    plain = text[:MAX_KEPT_CHARACTERS].replace("\r\n", "\n")
    return "".join(each for each in plain if each in "\n\t" or (ord(each) >= 32 and ord(each) != 127))
