"""What receivers are told, in their own formats: labels by the AT Protocol's lexicon, Osprey's actions and results."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from msgspec.structs import replace

from detector.errors import RecordError
from moderation.action_formats import render
from moderation.console_config import Receiver
from streaming.schema.action import ActionAccount, ActionPolicy, ActionRecord, encode_action, read_action
from streaming.schema.export import schema

DID: Final = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"

RECORD: Final = ActionRecord(
    id="0f8fad5b-d9cb-469f-a165-70867728950e", type="decision", about="7c9e6679-7425-40de-944b-e07fc1f90ae7",
    decision="llm_campaign", at="2025-06-01T08:00:00Z", alert="c1", kind="campaign", revision=3,
    policy=ActionPolicy("inauthentic.1", "Accounts that hide who runs them", "high"), reason="one operator",
    by="mod-1",
    accounts=[ActionAccount(DID, 0.93), ActionAccount("did:web:example.com"), ActionAccount("ann\ud800é/x")],
)  # fmt: skip

OZONE: Final = Receiver(
    "ozone", "https://o.example", "ozone", labeler="did:plc:ragtjsm2j2vknwkz3zp4oxrd",
    labels={"llm_campaign": "automated-campaign"},
)  # fmt: skip

OSPREY: Final = Receiver(
    "osprey", "https://o.example", "osprey", labels={"llm_campaign": "llm-driven"}, entity_type="Account"
)

LABEL: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["src", "uri", "val", "cts"],
    "additionalProperties": False,
    "properties": {
        "ver": {"type": "integer"},
        "src": {"type": "string", "pattern": r"^did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]$", "maxLength": 2048},
        "uri": {"type": "string", "pattern": r"^[a-z][a-z0-9.-]{0,80}:[^\s]+$", "maxLength": 8192},
        "cid": {"type": "string", "pattern": r"^[a-zA-Z0-9+=]{8,256}$"},
        "val": {"type": "string", "maxLength": 128},
        "neg": {"type": "boolean"},
        "cts": {"type": "string", "format": "date-time", "pattern": r"(Z|[+-]\d\d:\d\d)$"},
        "exp": {"type": "string", "format": "date-time"},
        "sig": {"type": "object", "required": ["$bytes"]},
    },
}
"""What `com.atproto.label.defs#label` requires, with the AT Protocol's formats of a did, uri, cid and time."""

OSPREY_ACTION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["send_time", "data"],
    "properties": {
        "send_time": {"type": "string", "format": "date-time"},
        "data": {
            "type": "object",
            "required": ["action_id", "action_name", "data"],
            "properties": {
                "action_id": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
                "action_name": {"type": "string", "pattern": "^[a-z_]+$"},
                "data": {"type": "object"},
            },
        },
    },
}
"""The envelope of an action on Osprey's topic `osprey.actions_input`."""

OSPREY_RESULT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["__action_id", "__timestamp", "__error_count", "__verdicts", "__entity_label_mutations", "ActionName"],
    "properties": {
        "__action_id": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
        "__timestamp": {"type": "string", "format": "date-time"},
        "__error_count": {"const": 0},
        "__verdicts": {"type": "array", "items": {"type": "string", "minLength": 1}},
        "__entity_label_mutations": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*/[^/]+/[0-3]$"},
        },
    },
    # Features are scalars, or lists of them.
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
"""A result on Osprey's topic `osprey.execution_results`: effects and verdicts among the features."""


def rendered(receiver: Receiver, record: ActionRecord = RECORD) -> Any:
    body = render(record, receiver)
    assert body is not None
    assert render(record, receiver) == body
    return json.loads(body)


def problems(of: dict[str, Any], value: object) -> list[str]:
    return [error.message for error in Draft202012Validator(of, format_checker=FormatChecker()).iter_errors(value)]


@pytest.mark.parametrize("kind", ["decision", "undo"])
def test_labels_are_valid_by_the_lexicon(kind: Any) -> None:
    found = rendered(OZONE, replace(RECORD, type=kind))
    assert found["id"] == RECORD.id
    assert [problems(LABEL, each) for each in found["labels"]] == [[], []]
    assert [each["uri"] for each in found["labels"]] == [DID, "did:web:example.com"]
    assert {each["val"] for each in found["labels"]} == {"automated-campaign"}
    assert {each.get("neg", False) for each in found["labels"]} == {kind == "undo"}


def test_the_transcribed_lexicon_refuses_what_it_has_to() -> None:
    good = rendered(OZONE)["labels"][0]
    for wrong in (
        good | {"src": "somebody"}, good | {"val": "x" * 129}, good | {"cts": "yesterday"}, good | {"uri": "no uri"},
        {name: value for name, value in good.items() if name != "val"},
    ):  # fmt: skip
        assert problems(LABEL, wrong) != []


def test_accounts_that_are_no_identifiers_get_no_label() -> None:
    only = replace(RECORD, accounts=[ActionAccount("ann"), ActionAccount("did:plc:a b"), ActionAccount("did:x:")])
    assert render(only, OZONE) is None
    assert render(replace(RECORD, decision="not_a_campaign"), OZONE) is None
    assert render(replace(RECORD, decision="not_a_campaign"), OSPREY) is None


@pytest.mark.parametrize("kind", ["decision", "undo"])
def test_ospreys_actions_and_results_are_as_its_workers_have_them(kind: Any) -> None:
    found = rendered(OSPREY, replace(RECORD, type=kind))
    assert [problems(OSPREY_ACTION, each) for each in found["actions"]] == [[], [], []]
    assert [problems(OSPREY_RESULT, each) for each in found["results"]] == [[], [], []]
    first = found["results"][0]
    # 3: added by a person, 2: removed by one; both outweigh what rules do.
    assert first["__entity_label_mutations"] == [f"Account/llm-driven/{3 if kind == 'decision' else 2}"]
    assert first["__verdicts"] == (["llm_campaign"] if kind == "decision" else [])
    assert (first["UserId"], first["Odds"], first["Policy"]) == (DID, 0.93, "inauthentic.1")
    action = found["actions"][0]["data"]
    assert action["action_id"] == first["__action_id"] < 2**53
    assert action["data"]["DecisionId"] == RECORD.about
    assert len({each["__action_id"] for each in found["results"]}) == 3


def test_the_generic_record_is_as_its_schema_says_and_read_back() -> None:
    record = replace(RECORD, accounts=RECORD.accounts[:2])
    body = render(record, Receiver("platform", "https://p.example"))
    assert body == encode_action(record)
    assert problems(schema("action"), json.loads(body)) == []
    assert read_action(body) == record
    for broken in (b"{}", b"[", body.replace(b'"v":1', b'"v":2')):
        with pytest.raises(RecordError, match=re.escape("none of version 1")):
            read_action(broken)
