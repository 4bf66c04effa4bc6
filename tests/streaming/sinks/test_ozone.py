"""The sink `ozone`: labels by the published lexicon, taken back when nobody wants them any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from detector.errors import UsageError
from streaming.config import Config, load_config
from streaming.schema.alert import read_alert
from streaming.sinks.base import open_live_sink, open_sink
from streaming.sinks.ozone import Labels
from tests.streaming.receivers import OK, Receiver, answers
from tests.streaming.sinks.alerts import alert

DID_SCHEMA = {"type": "string", "pattern": r"^did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]$", "maxLength": 2048}

LABEL = {
    "type": "object",
    "required": ["src", "uri", "val", "cts"],
    "additionalProperties": False,
    "properties": {
        "ver": {"const": 1},
        "src": DID_SCHEMA,
        "uri": DID_SCHEMA,
        "val": {"type": "string", "pattern": "^[a-z-]+$", "maxLength": 128},
        "neg": {"type": "boolean"},
        "cts": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
    },
}
"""What `com.atproto.label.defs#label` asks for, of a label on an account."""

EMIT = {
    "type": "object",
    "required": ["event", "subject", "createdBy"],
    "additionalProperties": False,
    "properties": {
        "event": {
            "type": "object",
            "required": ["$type", "createLabelVals", "negateLabelVals"],
            "properties": {
                "$type": {"const": "tools.ozone.moderation.defs#modEventLabel"},
                "comment": {"type": "string"},
                "createLabelVals": {"type": "array", "items": {"type": "string"}},
                "negateLabelVals": {"type": "array", "items": {"type": "string"}},
            },
        },
        "subject": {
            "type": "object",
            "required": ["$type", "did"],
            "properties": {"$type": {"const": "com.atproto.admin.defs#repoRef"}, "did": DID_SCHEMA},
        },
        "createdBy": DID_SCHEMA,
    },
}
"""What `tools.ozone.moderation.emitEvent` takes, of labels on an account."""

SOURCE = "did:plc:labeller"


def config(tmp_path: Path, **sinks: str) -> Config:
    given = {"ozone_did": SOURCE, "internal_addresses": "allow", "ozone_authorization": "Bearer secret-token"} | sinks
    environ = {f"SWARMLIGHT_SINKS__{name.upper()}": value for name, value in given.items()}
    return load_config(None, environ | {"SWARMLIGHT_STATE__DIR": str(tmp_path)})


def changes(labels: Labels, *bodies: bytes) -> list[tuple[str, str, bool]]:
    return [tuple(each)[:3] for body in bodies for each in labels.of(read_alert(body))]  # type: ignore[misc]


def test_an_account_is_labelled_once_and_only_while_an_alert_wants_it() -> None:
    labels = Labels("llm", "llm-campaign")
    assert changes(labels, alert("a"), alert("a", 2)) == [("did:plc:ann", "llm", False)]
    assert changes(labels, alert("b")) == []
    assert changes(labels, alert("a", 3, status="withdrawn")) == []
    assert changes(labels, alert("b", 2, status="withdrawn")) == [("did:plc:ann", "llm", True)]
    assert labels.state.holds == {}
    assert labels.state.of_alert == {}


def test_who_leaves_a_campaign_loses_its_label_and_who_stays_keeps_it() -> None:
    labels = Labels("llm", "llm-campaign")
    first = alert("c", members=["did:plc:a", "did:plc:b"], kind="campaign")
    then = alert("c", 2, members=["did:plc:b", "did:plc:c"], kind="campaign")
    assert [who for who, _, _ in changes(labels, first)] == ["did:plc:a", "did:plc:b"]
    assert changes(labels, then) == [("did:plc:a", "llm-campaign", True), ("did:plc:c", "llm-campaign", False)]


def test_coordination_that_is_not_machine_driven_and_accounts_elsewhere_get_no_label() -> None:
    labels = Labels("llm", "")
    assert changes(labels, alert("g", kind="coordination"), alert("c", kind="campaign")) == []
    assert changes(labels, alert("m", members=["ann@m.example", "did:", "did:plc:x\n", "did:plc:" + "x" * 3000])) == []


def test_a_file_has_records_of_the_lexicon(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    sink = open_sink(f"ozone:{path}", config(tmp_path))
    for body in (alert("a"), alert("c", members=["did:web:x.example"], kind="campaign"), alert("a", 2, members=[])):
        sink.write("x", body)
    sink.close()
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    for record in records:
        jsonschema.validate(record, LABEL)
    assert [(record["uri"], record["val"], record.get("neg", False)) for record in records] == [
        ("did:plc:ann", "llm-driven", False),
        ("did:web:x.example", "llm-campaign", False),
        ("did:plc:ann", "llm-driven", True),
    ]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(records[0] | {"src": "labeller"}, LABEL)


def test_the_service_is_asked_by_its_lexicon_in_order_and_again_where_it_was_away(tmp_path: Path) -> None:
    with Receiver(answers(OK, (502, {}, b""))) as receiver:
        sink = open_live_sink(f"ozone:{receiver.url}", config(tmp_path))
        sink.write("a", alert("a", members=["did:plc:ann", "did:plc:bob"]))
        sink.write("a", alert("a", 2, status="withdrawn"))
        sink.close()
    sent: list[dict[str, Any]] = [json.loads(each.body) for each in receiver.requests]
    for each in sent:
        jsonschema.validate(each, EMIT)
    assert [each["subject"]["did"].rpartition(":")[2] for each in sent] == ["ann", "bob", "bob", "ann", "bob"]
    assert sent[-1]["event"]["negateLabelVals"] == ["llm-driven"]
    request = receiver.requests[0]
    assert request.path == "/xrpc/tools.ozone.moderation.emitEvent"
    assert request.headers["authorization"] == "Bearer secret-token"
    assert request.headers["atproto-proxy"] == f"{SOURCE}#atproto_labeler"


def test_who_was_labelled_is_known_after_a_restart(tmp_path: Path) -> None:
    with Receiver() as receiver:
        for body in (alert("a"), alert("a", 2, status="withdrawn")):
            sink = open_live_sink(f"ozone:{receiver.url}", config(tmp_path))
            sink.write("a", body)
            sink.close()
    sent = [json.loads(each.body)["event"] for each in receiver.requests]
    assert [(each["createLabelVals"], each["negateLabelVals"]) for each in sent] == [
        (["llm-driven"], []),
        ([], ["llm-driven"]),
    ]


@pytest.mark.parametrize(
    ("spec", "sinks", "said"),
    [
        ("ozone:", {}, "name a file"),
        ("ozone:x.jsonl", {"ozone_did": "me"}, "ozone_did"),
        (
            "ozone:https://o.example",
            {"ozone_authorization": ""},
            "Authorization",
        ),
        ("ozone:http://8.8.8.8", {"internal_addresses": "refuse"}, "https"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_opened(
    tmp_path: Path, spec: str, sinks: dict[str, str], said: str
) -> None:
    given = {name: value for name, value in sinks.items() if value}
    made = config(tmp_path, **given)
    if sinks.get("ozone_authorization") == "":
        made = made.model_copy(update={"sinks": made.sinks.model_copy(update={"ozone_authorization": None})})
    with pytest.raises(UsageError, match=said):
        open_sink(spec, made)
