"""JSON Schema (draft 2020-12) of every record, out of its Struct: `swarmlight schema`, `docs/reference/schema/*.json`.

A schema of what this program writes requires every field, since all of them are always written, though readers take
records without most of them. Those of what other programs write, events and decisions, require what a reader does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from detector.errors import UsageError
from streaming.schema.action import ActionRecord
from streaming.schema.alert import ALERT_VERSION, AlertRecord, PageRecord
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.event import KINDS, EventRecord
from streaming.schema.feedback import FeedbackRecord
from streaming.schema.lab_run import LabRunRecord
from streaming.schema.observation import Batch, End, Feedback, Idle
from streaming.schema.run_summary import RunSummary
from streaming.schema.sample import SampleRecord
from streaming.schema.score import ScoreRecord
from streaming.schema.shadow_comparison import ComparisonRecord

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

RECORDS: Final[Mapping[str, Any]] = {
    "action": ActionRecord,
    "alert": AlertRecord,
    "alert-details": PageRecord,
    "blind-sample": SampleRecord,
    "comparison": ComparisonRecord,
    "dead-letter": DeadLetter,
    "event": EventRecord,
    "feedback": FeedbackRecord,
    "lab-run": LabRunRecord,
    "observation": Batch | Idle | End | Feedback,
    "score": ScoreRecord,
    "summary": RunSummary,
}
"""Name -> the Struct of the record. Observations are written as MessagePack, whose values JSON Schema describes too."""

WRITTEN: Final = frozenset(
    {"action", "alert", "alert-details", "blind-sample", "comparison", "dead-letter", "lab-run", "score", "summary"}
)
"""Records that this program alone writes."""

_NAME: Final = {"type": "string", "minLength": 1}

_NARROWER: Final[Mapping[str, dict[str, Any]]] = {
    "alert": {"properties": {"v": {"const": ALERT_VERSION}}},
    "event": {
        "required": ["id", "account", "at", "kind"],
        "properties": {
            "id": _NAME,
            "account": _NAME,
            "at": {"type": ["string", "integer"]},
            "kind": {"enum": list(KINDS)},
            "v": {"enum": [1, None]},
        },
    },
    "feedback": {"properties": {"id": _NAME}},
}
"""What holds of a record besides its Struct, which lets more in so that a refusal can say what is wrong."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a record.

    Args:
        name: one of `RECORDS`.

    Raises:
        UsageError: there is no such record.
    """
    if name not in RECORDS:
        raise UsageError(f"no record is called {name!a}: choose from {', '.join(RECORDS)}")
    (top,), components = msgspec.json.schema_components([RECORDS[name]], ref_template="#/$defs/{name}")
    for component in components.values():
        if name in WRITTEN and "properties" in component:
            omits = getattr(RECORDS[name], "__struct_config__").omit_defaults  # noqa: B009  # of Structs alone
            component["required"] = [
                field for field, about in component["properties"].items() if not (omits and "default" in about)
            ]
            for about in component["properties"].values():
                about.pop("default", None)
    return {"$schema": DIALECT, "title": name, **top, **_NARROWER.get(name, {}), "$defs": components}


def rendered(name: str) -> str:
    """The JSON Schema of a record as its file has it."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def schema_command(
    record: Annotated[
        str | None, typer.Argument(metavar="RECORD", help=f"one of {', '.join(RECORDS)}; all of them unless given")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="write each schema to FOLDER/RECORD.json")
    ] = None,
) -> int:
    """Print the JSON Schema of a record that crosses a process or a file, or write those of all records to a folder."""
    names = list(RECORDS) if record is None else [record]
    if output is None and record is None:
        print(json.dumps({name: schema(name) for name in names}, indent=2, ensure_ascii=False))
        return 0
    for name in names:
        text = rendered(name)
        if output is None:
            print(text, end="")
            continue
        try:
            output.mkdir(parents=True, exist_ok=True)
            (output / f"{name}.json").write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"--output {str(output)!a} cannot be written: {error.strerror}; name another file"
            ) from None
    return 0
