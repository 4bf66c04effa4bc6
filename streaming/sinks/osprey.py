"""The sink `osprey`: alerts as actions for Osprey, the rules engine of ROOST, whose rules turn them into effects.

Effects (labels, bans, verdicts) are made by Osprey's own rules; what comes in from outside is an action. So each
account of each revision becomes one action `swarmlight_alert` on the Kafka topic that Osprey reads,
`osprey.actions_input` unless `--sink osprey:HOST:PORT/TOPIC` names another. A rule over there decides what follows
(docs/how-to/add-a-sink.md has one). Actions are written in order and at least once; an action's id is the same whenever
it is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from detector.errors import UsageError
from streaming.config import Config
from streaming.kafka.client import Clients
from streaming.schema.alert import AlertRecord, read_alert
from streaming.sinks.kafka import TopicSink

TOPIC: Final = "osprey.actions_input"
"""What Osprey reads unless it is told otherwise (`OSPREY_KAFKA_INPUT_STREAM_TOPIC`)."""

ACTION: Final = "swarmlight_alert"

_TARGET: Final = re.compile(r"(?P<servers>[^/]*)(?:/(?P<topic>[A-Za-z0-9._-]{1,249}))?")


def actions_of(alert: AlertRecord, left: set[str]) -> Iterator[dict[str, Any]]:
    """One action for each account of a revision, and for each that it is no longer about.

    Args:
        alert: the revision.
        left: accounts of the one before that are not in it any more.
    """
    for member in alert.members:
        yield _action(alert, member.account, alert.status, member.posterior, member.llr.total)
    for account in sorted(left):
        yield _action(alert, account, "left", 0.0, 0.0)


def _action(alert: AlertRecord, account: str, status: str, posterior: float, total: float) -> dict[str, Any]:
    return {
        "send_time": alert.at,
        "data": {
            "action_id": action_id(alert.id, alert.revision, account),
            "action_name": ACTION,
            "data": {
                "account": account,
                "alert": alert.id,
                "kind": alert.kind,
                "status": status,
                "revision": alert.revision,
                "accounts": len(alert.members),
                "posterior": posterior,
                "total": total,
                "reasons": list(dict.fromkeys(reason.code for reason in alert.reasons)),
            },
        },
    }


def action_id(alert: str, revision: int, account: str) -> int:
    """The number of an action: 63 bits of a hash, so that it is the same in every attempt.

    Args:
        alert: id of the alert.
        revision: of it.
        account: that the action is about.
    """
    name = "\0".join((alert, str(revision), account)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1


class OspreyActions(TopicSink):
    """A producer of actions.

    Args:
        config: how to reach the broker.
        topic: that Osprey reads; it has to be there.

    Raises:
        BrokerError: the broker is away, or refuses.
    """

    def __init__(self, config: Config, topic: str) -> None:
        super().__init__(Clients(config.kafka), topic, "actions", "waiting for Osprey's topic")
        self._members: dict[str, set[str]] = {}

    def write(self, alert_id: str, body: bytes) -> None:
        """Send the actions of a revision.

        Raises:
            BrokerError: an earlier one was not taken.
        """
        self.check()
        alert = read_alert(body)
        now = {member.account for member in alert.members}
        left = self._members.get(alert_id, set()) - now
        with self._clients.explained("sending actions to Osprey"):
            for action in actions_of(alert, left):
                key = action["data"]["data"]["account"].encode("utf-8", "surrogatepass")
                self.send(key, msgspec.json.encode(action))
        if alert.status == "open":
            self._members[alert_id] = now
        else:
            self._members.pop(alert_id, None)


def open_sink(target: str, config: Config) -> OspreyActions:
    """The broker and topic at `target`; the configuration's broker and Osprey's own topic where it names none.

    Raises:
        UsageError: it is no such thing.
        BrokerError: the broker is away, or refuses.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UsageError("--sink osprey: write osprey:HOST:PORT/TOPIC; broker and topic may be left out")
    if match["servers"]:
        kafka = config.kafka.model_copy(update={"bootstrap_servers": match["servers"]})
        config = config.model_copy(update={"kafka": kafka})
    return OspreyActions(config, match["topic"] or TOPIC)
