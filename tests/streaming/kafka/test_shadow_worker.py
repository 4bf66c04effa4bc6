"""A shadow on a broker: it reads the live deployment's log, changes nothing of it, and is compared with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detector.errors import LogError, UsageError
from detector.times import rfc3339
from streaming.assess.alert_store import account_alert_id
from streaming.assess.outputs import AlertRevision, Answer, TickOutput, TickStats
from streaming.cli import main
from streaming.config import Config, ShadowConfig, StateConfig
from streaming.health import Health
from streaming.kafka import pair_stage
from streaming.kafka.assess_worker import AssessStage
from streaming.kafka.client import Clients, Topics, ensure_topics
from streaming.kafka.journal import Outbox
from streaming.kafka.log import LogReader
from streaming.kafka.shadow_worker import ChooseStage, CompareStage
from streaming.kafka.worker import Stage, running
from streaming.schema.alert import AlertRecord, MemberRecord, PageRecord, encode
from streaming.schema.observation import End, Entry
from streaming.schema.observation import encode as encode_entry
from streaming.shadow import in_canary
from streaming.worker_metrics import Metrics
from tests.streaming.kafka.bench import Deployment, Worker, last_revisions
from tests.streaming.kafka.brokers import Broker
from tests.streaming.kafka.streams import stream
from tests.streaming.kafka.test_assess_worker_stage import batch
from tests.streaming.kafka.tiny import STEP, TinyCore, expected, tiny

pytestmark = pytest.mark.kafka


class Pair:
    """A live deployment and its shadow, whose alerts and log the test writes itself."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment, self.live = deployment, deployment.topics
        self.clients = Clients(deployment.kafka())
        deployment.create(self.live.posts, 1)
        ensure_topics(self.clients, self.live, deployment.kafka(), snapshots=True)
        self.shadow = Topics.of(self.config().kafka, self.config().shadow)
        ensure_topics(self.clients, self.shadow, self.config().kafka, snapshots=True)
        self.boxes = {topics.prefix: self._outbox(topics) for topics in (self.live, self.shadow)}
        self.open: list[Any] = []

    def config(self, **shadow: Any) -> Config:
        prefix = self.live.prefix
        return Config(
            kafka=self.deployment.kafka().model_copy(
                update={"topic_prefix": f"{prefix}next-", "session_timeout_s": 6.0}
            ),
            shadow=ShadowConfig(
                **({"log": "live", "live_prefix": prefix, "canary_prefix": f"{prefix}canary-"} | shadow)
            ),
            state=StateConfig(dir=str(self.deployment.folder / "shadow")),
        )

    def _outbox(self, topics: Topics) -> Outbox:
        return Outbox(self.clients, topics, LogReader(self.clients, topics, 1).consumer, "settings")

    def decide(self, topics: Topics, tick: int, *alerts: AlertRecord) -> None:
        """One tick of one side, with the alerts it writes and a page of details for each."""
        box = self.boxes[topics.prefix]
        if box.run == "":
            box.open()
            box.run = "run"
        revisions = [AlertRevision(each.id, each.revision, each.kind, each.status, encode(each)) for each in alerts]
        pages: list[tuple[str, bytes | None]] = [
            (f"{each.id}/0", encode(PageRecord(each.id, each.revision, 0, 1))) for each in alerts
        ]
        box.add(TickOutput(tick * 60_000, revisions, pages, [], [], Answer.unread(), TickStats()), 0.0)
        box.write(tick * 60_000, [0], ended=False)

    def turned(self, stage: Stage, what: Callable[[], bool], timeout_s: float = 40.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, "it never got there"
            stage.turn()

    def comparison(self) -> dict[str, str | None]:
        """What the topic says last of every account."""
        return {
            each.key.decode(): None if each.value is None else msgspec.json.decode(each.value)["change"]
            for each in self.deployment.read(self.shadow.comparison)
        }

    def chosen(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.deployment.read(f"{self.live.prefix}canary-alerts"):
            found.setdefault(record.key.decode(), []).append(msgspec.json.decode(record.value))
        return found


@pytest.fixture
def pair(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(pair_stage, "TURN_S", 0.05)
    pair = Pair(deployment)
    yield pair
    for box in pair.boxes.values():
        box.close()


def of(account: str, tick: int, revision: int = 1, status: Any = "open") -> AlertRecord:
    return AlertRecord(
        id=account_alert_id(account),
        kind="account",
        revision=revision,
        status=status,
        at=rfc3339(tick * 60_000),
        members=[MemberRecord(account)],
    )


def test_who_is_added_and_removed_is_in_a_topic_and_in_metrics(
    pair: Pair, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pair.decide(pair.live, 1, of("ann", 1), of("bob", 1))
    pair.decide(pair.live, 3, of("dan", 3))
    pair.decide(pair.shadow, 2, of("bob", 2), of("eve", 2))
    metrics = Metrics()
    stage = CompareStage(pair.clients, pair.shadow, metrics)
    pair.turned(stage, lambda: pair.comparison() == {"ann": "removed", "eve": "added"})
    stage.turn()
    value = metrics.registry.get_sample_value
    assert [value("swarmlight_shadow_accounts", {"listed": what}) for what in ("both", "added", "removed")] == [1, 1, 1]
    assert value("swarmlight_shadow_behind_seconds") == 60
    stage.close()
    config = pair.deployment.config(
        kafka={"topic_prefix": pair.shadow.prefix}, shadow={"log": "live", "live_prefix": pair.live.prefix}
    )
    assert main(["shadow", "--config", str(config), "--out", str(tmp_path / "moved")]) == 0
    said = capsys.readouterr().out
    assert "1 accounts in alerts of both" in said
    assert "1 would be added: eve" in said
    assert "60.0 s behind" in said
    assert [msgspec.json.decode(line)["account"] for line in (tmp_path / "moved").read_bytes().splitlines()] == [
        "ann",
        "eve",
    ]
    pair.decide(pair.shadow, 4, of("ann", 4))
    pair.decide(pair.live, 4)
    again = CompareStage(pair.clients, pair.shadow, metrics)
    wanted = {"ann": None, "eve": "added", "dan": "removed"}
    pair.turned(again, lambda: pair.comparison() == wanted)
    assert len(pair.deployment.read(pair.shadow.comparison)) == 4, "nothing is said twice after a restart"
    again.close()


def test_a_canary_s_accounts_have_the_shadow_s_alerts_and_all_others_the_live_ones(pair: Pair) -> None:
    names = [f"account{number}" for number in range(8)]
    inside = {account_alert_id(name) for name in names if in_canary(account_alert_id(name), 0.5)}
    assert 0 < len(inside) < len(names)
    for topics, first in ((pair.live, 1), (pair.shadow, 2)):
        pair.decide(topics, 1, *(of(name, 1) for name in names[: len(names) // first]))
        pair.decide(topics, 2, *(of(name, 2, 2) for name in names[: len(names) // first]))
    metrics = Metrics()

    def choose(share: float) -> ChooseStage:
        return ChooseStage(pair.clients, pair.shadow, pair.config(canary_share=share), metrics)

    stage = choose(0.0)
    pair.turned(stage, lambda: stage._begun)
    pair.decide(pair.live, 3, of(names[0], 3, 3))
    pair.decide(pair.shadow, 3)
    pair.turned(stage, lambda: len(pair.chosen()[account_alert_id(names[0])]) == 2)
    before = {name: revisions[-1] for name, revisions in pair.chosen().items()}
    assert {name: each["at"] for name, each in before.items()} == {
        account_alert_id(name): rfc3339((3 if name == names[0] else 2) * 60_000) for name in names
    }
    stage.close()

    stage = choose(0.5)
    pair.turned(stage, lambda: stage._begun)
    pair.decide(pair.live, 4, *(of(name, 4, 4 if name == names[0] else 3) for name in names))
    pair.decide(pair.shadow, 4, *(of(name, 4, 3) for name in names[:4]))
    marks = dict.fromkeys(names, 4 * 60000)
    pair.turned(
        stage,
        lambda: (
            sum(rfc3339(4 * 60_000) == each[-1]["at"] for each in pair.chosen().values())
            == len(marks) - len({account_alert_id(name) for name in names[4:]} & inside)
        ),
    )
    stage.close()
    found = pair.chosen()
    for number, name in enumerate(names):
        revisions = found[account_alert_id(name)]
        numbers = [each["revision"] for each in revisions]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        if account_alert_id(name) in inside and number >= 4:
            assert revisions[-1]["status"] == "withdrawn", "the shadow has no alert of it"
    pages = {
        each.key.decode(): each.value and msgspec.json.decode(each.value)["revision"]
        for each in pair.deployment.read(f"{pair.live.prefix}canary-alert-details")
    }
    for name, revisions in found.items():
        last = revisions[-1]
        assert pages[f"{name}/0"] == (last["revision"] if last["status"] == "open" else None)
    count = sum(map(len, found.values()))
    stage = choose(0.5)
    pair.turned(stage, lambda: stage._begun)
    stage.turn()
    stage.close()
    assert metrics.registry.get_sample_value("swarmlight_canary_alerts_total", {"side": "shadow"})
    assert sum(map(len, pair.chosen().values())) == count, "a restart puts nothing out twice"


def test_a_larger_share_waits_for_a_shadow_that_is_behind(pair: Pair) -> None:
    pair.decide(pair.live, 5, of("ann", 5))
    pair.decide(pair.shadow, 4)
    stage = ChooseStage(pair.clients, pair.shadow, pair.config(canary_share=1.0), Metrics())
    for _ in range(6):
        stage.turn()
    assert not stage._begun
    assert pair.chosen() == {}
    pair.decide(pair.shadow, 5, of("ann", 5))
    pair.turned(stage, lambda: stage._begun)
    (revisions,) = pair.chosen().values()
    assert [each["revision"] for each in revisions] == [2], "readers had revision 1 of the live deployment"
    stage.close()


def log(pair: Pair, *entries: Entry) -> None:
    pair.deployment.write_raw(pair.live.observations, 0, *map(encode_entry, entries))


def shadow_stage(pair: Pair, folder: str = "shadow", **shadow: Any) -> AssessStage:
    config = pair.config(**shadow)
    return AssessStage(
        pair.clients,
        pair.shadow,
        config.model_copy(update={"state": StateConfig(dir=str(pair.deployment.folder / folder))}),
        1,
        make=lambda folder: TinyCore.make(folder, 1),
        reader=tiny().reader,
        settings="tiny",
        closing=True,
        metrics=Metrics(),
        health=Health(time.monotonic()),
    )


def test_a_shadow_begins_the_live_log_where_it_is_told_to_and_again_there(pair: Pair) -> None:
    log(pair, batch(0, 12, account="before"))
    time.sleep(0.05)
    begin = rfc3339(round(time.time() * 1000))
    time.sleep(1.1)
    log(pair, batch(12, 60, account="after"))
    stage = shadow_stage(pair, begin=begin)
    alerts = Deployment(pair.deployment.address, pair.shadow.prefix, pair.deployment.folder).alerts
    pair.turned(stage, lambda: bool(alerts()))
    stage.close()
    assert set(alerts()) == {"after"}
    assert not pair.deployment.alerts(), "nothing of the live deployment is written to"
    log(pair, batch(72, 60, account="after"), End(0, 1, 132))
    stage = shadow_stage(pair, "another disk", begin=begin)  # no snapshot: it begins where it began
    pair.turned(stage, lambda: stage.done)
    stage.close()
    assert last_revisions(alerts())["after"]["revision"] == 120 // STEP


def test_a_shadow_whose_beginning_is_gone_does_not_begin_elsewhere(pair: Pair) -> None:
    log(pair, batch(0, 30), batch(30, 30))
    pair.deployment.delete_before(pair.live.observations, 0, 1)
    stage = shadow_stage(pair)
    pair.turned(stage, lambda: stage._commits.tick_ms is not None)
    stage.close()
    assert stage._replica.core is not None
    again = shadow_stage(pair, "another disk")
    with pytest.raises(LogError, match="retention removed the beginning"):
        pair.turned(again, lambda: again.active)
    again.close()


def test_a_shadow_needs_a_live_deployment_and_topics_of_its_own(deployment: Deployment) -> None:
    shadow = ShadowConfig(log="live", live_prefix=deployment.topics.prefix)
    kafka = deployment.kafka().model_copy(update={"topic_prefix": f"{deployment.topics.prefix}next-"})
    with pytest.raises(UsageError, match="start it first"):
        ensure_topics(Clients(kafka), Topics.of(kafka, shadow), kafka, snapshots=True)
    with pytest.raises(ValueError, match="has to differ"):
        Config(kafka=deployment.kafka(), shadow=shadow)


def test_which_loops_a_shadow_runs() -> None:
    def runs(**shadow: Any) -> set[str]:
        kafka = Config().kafka.model_copy(update={"topic_prefix": "next-"})
        return set(running("all", Config(kafka=kafka, shadow=ShadowConfig(**shadow))))

    assert runs() == {"score", "assess", "deliver"}
    assert runs(log="live") == {"assess", "deliver", "compare"}
    assert runs(log="own", canary_prefix="c-") == {"score", "assess", "deliver", "compare", "choose"}
    kafka = Config().kafka.model_copy(update={"topic_prefix": "next-"})
    with pytest.raises(UsageError, match="what the live deployment scored"):
        running("score", Config(kafka=kafka, shadow=ShadowConfig(log="live")))


@pytest.mark.slow
def test_a_shadow_that_dies_leaves_the_live_deployment_alone_and_goes_on_where_it_was(
    apache: Broker, deployment: Deployment
) -> None:
    """Whole workers, the shadow scoring the same posts itself; killed in the middle."""
    events = stream(1500)
    deployment.create(deployment.topics.posts, 2)
    live = deployment.tiny("all", 12.0)
    prefix = f"{deployment.topics.prefix}next-"

    def shadow() -> Worker:
        return deployment.tiny(
            "all",
            12.0,
            kafka={"topic_prefix": prefix, "session_timeout_s": 2},
            shadow={"log": "own", "live_prefix": deployment.topics.prefix},
            state={"dir": str(deployment.folder / "shadow")},
        )

    live.wait_for("took over")
    first = shadow()
    first.wait_for("took over")
    deployment.write(events[:700], partitions=2, keyed=False)
    time.sleep(1)
    first.kill()
    deployment.write(events[700:], partitions=2, keyed=False)
    second = shadow()
    assert live.wait(60) == 0
    assert second.wait(60) == 0, second.said()
    theirs = last_revisions(Deployment(deployment.address, prefix, deployment.folder).alerts())
    assert last_revisions(deployment.alerts()) == expected(events) == theirs
    assert deployment.read(f"{prefix}comparison") == []
