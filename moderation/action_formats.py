"""An action in the formats of those who act on it: generic JSON, labels of the AT Protocol, Osprey. Pure.

- `json` is the record itself (`docs/reference/schema/action.json`).
- `ozone` has a label for each account that is a DID, by the lexicon `com.atproto.label.defs#label`; taking a decision
  back negates the label. Labels are not signed here: the labeler that publishes them does that.
- `osprey` has, for each account, an action in the envelope that Osprey's workers read, so that rules can go by it, and
  its result as Osprey's output has it: verdicts, and label mutations as its effects write them
  (https://github.com/roostorg/osprey, `docs/integration/data-flow.md`).

The same record gives the same bytes, so that every attempt sends the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from moderation.console_config import Receiver
from streaming.schema.action import ActionRecord, encode_action

DID: Final = re.compile(r"did:[a-z]+:[A-Za-z0-9._:%-]{1,2000}(?<![:%])")
"""An account of the AT Protocol, by its identifier."""

LABEL_VERSION: Final = 1
"""`ver` of a label: of the protocol's label object."""

MANUALLY_REMOVED, MANUALLY_ADDED = 2, 3
"""Osprey's `LabelStatus` of what people did: it outweighs what rules do."""

ACTION_ID_BITS: Final = 53
"""Of Osprey's 64-bit ids: what every reader of JSON keeps exactly."""

ACTION_NAMES: Final = {"decision": "swarmlight_decision", "undo": "swarmlight_undo"}


def render(record: ActionRecord, receiver: Receiver) -> bytes | None:
    """The body of a request; None where this receiver has nothing to do.

    Args:
        record: what happened.
        receiver: whose format it is.
    """
    return _FORMATS[receiver.format](record, receiver)


def _json(record: ActionRecord, receiver: Receiver) -> bytes | None:
    return encode_action(record)


def _ozone(record: ActionRecord, receiver: Receiver) -> bytes | None:
    value = receiver.labels.get(record.decision)
    accounts = [each.account for each in record.accounts if DID.fullmatch(each.account)]
    if value is None or not accounts:
        return None
    labels = []
    for account in accounts:
        label: dict[str, Any] = {"ver": LABEL_VERSION, "src": receiver.labeler, "uri": account, "val": value}
        labels.append(label | ({"neg": True} if record.type == "undo" else {}) | {"cts": record.at})
    return _dump({"id": record.id, "labels": labels})


def _osprey(record: ActionRecord, receiver: Receiver) -> bytes | None:
    value = receiver.labels.get(record.decision)
    if value is None or not record.accounts:
        return None
    status = MANUALLY_ADDED if record.type == "decision" else MANUALLY_REMOVED
    actions, results = [], []
    for each in record.accounts:
        number = _action_id(record.id, each.account)
        facts = {
            "UserId": each.account, "Decision": record.decision, "DecisionId": record.about, "AlertId": record.alert,
            "AlertKind": record.kind, "Policy": record.policy.code if record.policy else None,
            "PolicySeverity": record.policy.severity if record.policy else None, "Odds": each.odds,
            "Reason": record.reason,
        }  # fmt: skip
        name = ACTION_NAMES[record.type]
        actions.append(
            {"send_time": record.at, "data": {"action_id": number, "action_name": name, "timestamp": record.at,
                                              "data": facts}}
        )  # fmt: skip
        results.append(
            {
                "__action_id": number, "__timestamp": record.at, "__error_count": 0,
                "__verdicts": [record.decision] if record.type == "decision" else [],
                "__entity_label_mutations": [f"{receiver.entity_type}/{value}/{status}"], "ActionName": name, **facts,
            }
        )  # fmt: skip
    return _dump({"id": record.id, "actions": actions, "results": results})


def _action_id(delivery: str, account: str) -> int:
    digest = hashlib.sha256(f"{delivery}\0{account}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - ACTION_ID_BITS)


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


_FORMATS: Final[Mapping[str, Callable[[ActionRecord, Receiver], bytes | None]]] = {
    "json": _json,
    "ozone": _ozone,
    "osprey": _osprey,
}
