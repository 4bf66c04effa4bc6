"""One alert per coordinated group: for information, or as a campaign where the group is machine-driven too."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.reasons import (
    MERGED,
    WITHDRAWN_CHANGED,
    WITHDRAWN_DECIDED,
    WITHDRAWN_WEAK,
    GroupCase,
    Reason,
    SharedKind,
    group_limitations,
    group_reasons,
)
from detector.text.features import TextAbstain
from detector.times import rfc3339
from graph.groups import Group
from graph.ties import edges_within, nearby
from streaming.assess.alert_records import (
    MOST_POSTS,
    MOST_TARGETS,
    POSTS_PER_MEMBER,
    AlertContext,
    Written,
    details_pages,
    edge_record,
    fitted,
    mean_llr,
    member_record,
    no_pages,
    objects_of,
    post_record,
    strongest,
)
from streaming.assess.alert_store import StoredAlert
from streaming.assess.duplicates import event_key
from streaming.assess.feedback import Decisions
from streaming.assess.group_list import Listed
from streaming.assess.groups import Groups
from streaming.assess.machine_groups import GroupEvidence, GroupJudge
from streaming.assess.store import PERMITTED, KeptText
from streaming.schema.alert import (
    ALERT_VERSION,
    AlertKind,
    AlertRecord,
    AlertStatus,
    EdgeRecord,
    NearRecord,
    ObjectRecord,
    PostRecord,
    TalkingPointRecord,
)

MOST_EDGES: Final = 20_000
"""Edges of one group that its details show: those of two hundred members who all met, some ten pages."""

TARGET_KINDS: Final = frozenset({"repost", "quote", "reply_target"})
"""Kinds of objects that are posts, `account/event`."""

MOST_NEAR: Final = 20
"""Accounts near a group that its alert names."""

MOST_VOICES: Final = 12
"""Members whose words for one talking point an alert shows."""

POINT_CHARS: Final = 280
"""Characters of a member's words for a talking point: enough to see that it is the same point."""

LEAST_Q: Final = 1e-3
"""q below which it makes no difference to a reader."""


class GroupAlerts:
    """Keeps campaign and coordination alerts in step with the accepted groups.

    Args:
        context: the state they are written from.
        groups: coordination.
        decisions: of moderators.
    """

    def __init__(self, context: AlertContext, groups: Groups, decisions: Decisions) -> None:
        self._context = context
        self._groups = groups
        self._decisions = decisions
        self._judge = GroupJudge(context.models.thresholds, context.settings.target_fdr)

    def settle(self, tick_ms: int, merged: Iterable[tuple[str, str]], forced: set[str], *, all_groups: bool) -> Written:
        """The revisions that a tick brings.

        Args:
            merged: (id, into) of groups that are now part of another.
            forced: ids that were decided upon, or show something that was deleted.
            all_groups: whether this is a campaign tick; else only the forced ones are looked at.
        """
        out = Written([], [])
        store = self._context.store
        for gone, into in merged:
            alert = store.get(gone)
            if alert is not None and alert.open:
                alert.merged_into = into
                self._close(alert, tick_ms, "merged", Reason(MERGED, objects=[into]), out)
        due = [
            (each, self._members(each.group)) for each in self._groups.accepted if all_groups or each.group.id in forced
        ]
        cases = [(each, members, self._judge_members(members)) for each, members in due]
        if all_groups:
            self._context.store.held_back = 0
        for each, members, judged in sorted(cases, key=lambda case: (-case[2].nats, case[0].group.number)):
            self._group(each, members, judged, tick_ms, each.group.id in forced, out)
        live = {each.group.id for each in self._groups.accepted}
        for name in sorted(forced - live):
            alert = store.get(name)
            if alert is not None and alert.open and alert.kind != "account":
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_CHANGED), out)
        if all_groups or forced:
            self._read_campaigns()
        return out

    def _read_campaigns(self) -> None:
        """Find out who belongs to an alerted campaign."""
        accounts = self._context.accounts
        store = self._context.store
        live = {each.group.id: each.group for each in self._groups.accepted}
        store.campaign_of = {}
        for alert in store.of_groups.values():
            if alert.kind == "campaign" and alert.open:
                group = live.get(alert.id)
                found = [accounts.find(name) for name in alert.members] if group is None else self._members(group)
                for row in found:
                    if row is not None:
                        store.campaign_of.setdefault(row, alert.id)

    def _members(self, group: Group) -> list[int]:
        """Rows of a group's members in name order, without declared and permitted automation."""
        accounts = self._context.accounts
        rows = np.array(group.members, np.int64)
        counted = (accounts.automated[rows] != 1) & (accounts.suppression_threshold[rows] != PERMITTED)
        return sorted(rows[counted].tolist(), key=accounts.name)

    def _judge_members(self, members: list[int]) -> GroupEvidence:
        accounts = self._context.accounts
        rows = np.array(members, np.int64)
        speaking = rows[accounts.text_abstain[rows] == TextAbstain.NONE]
        return self._judge.judge(self._context.evidence.own(speaking))

    def _group(
        self,
        listed: Listed,
        members: list[int],
        judged: GroupEvidence,
        tick_ms: int,
        forced: bool,
        out: Written,
    ) -> None:
        group = listed.group
        store = self._context.store
        alert = store.get(group.id)
        decision = self._decisions.current(group.id)
        if len(members) < 2 or (alert is not None and judged.nats < alert.suppression_threshold):
            if alert is not None and alert.open:
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_DECIDED), out)
            return
        machine = judged.machine if group.machine_ms is None else judged.still_machine
        if machine and group.machine_ms is None:
            group.machine_ms = tick_ms
        people = decision == "human_coordination"
        campaign = machine and group.among == "suspects" and not people
        if not campaign and self._elsewhere(group, members):
            # Another group's alert says it of the same accounts, or says more.
            if alert is not None and alert.open:
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_WEAK), out)
            return
        kind: AlertKind = "campaign" if campaign else "coordination"
        evidence = (round(-math.log(max(group.q, LEAST_Q)), 6), judged.nats, float(len(members)))
        if alert is not None and alert.open and alert.kind == kind:
            if not forced and not alert.moved(evidence, self._context.settings.alert_step_nats):
                return
        elif group.q > self._context.settings.target_fdr:
            return  # accepted once, but not by the last search: nothing new is said on the strength of that
        elif kind == "campaign" and not store.admit(tick_ms, self._context.settings.max_alerts_per_day):
            self._context.store.held_back += 1
            return
        alert = store.open_group(group.id, kind)
        alert.revise("open", evidence)
        self._write(alert, listed, members, judged, tick_ms, decision, out)

    def _elsewhere(self, group: Group, members: list[int]) -> bool:
        """Whether most of a group of the search among all are members of an accepted group of suspects."""
        if group.among == "suspects":
            return False
        others = {row for each in self._groups.accepted if each.group.among == "suspects" for row in each.group.members}
        return 2 * len(others.intersection(members)) > len(members)

    def _close(
        self,
        alert: StoredAlert,
        tick_ms: int,
        status: AlertStatus,
        reason: Reason,
        out: Written,
    ) -> None:
        """The last revision for now: who they were stays readable in earlier ones until compaction."""
        alert.revise(status, alert.evidence)
        out.revisions.append(self._context.emptied(alert, tick_ms, reason))
        out.pages.extend(no_pages(alert))

    def _write(
        self,
        alert: StoredAlert,
        listed: Listed,
        members: list[int],
        judged: GroupEvidence,
        tick_ms: int,
        decision: str | None,
        out: Written,
    ) -> None:
        context, group = self._context, listed.group
        accounts = context.accounts
        ground = self._common_ground(members, tick_ms)
        objects = list(objects_of(ground.edges))
        strength = _strength(group)
        ranked = sorted(members, key=lambda row: (-strength[row], accounts.name(row)))
        shown = [
            member_record(score, accounts, row, strength[row])
            for row, score in zip(ranked, context.scores.of(np.array(ranked, np.int64)), strict=True)
        ]
        quoted = [
            (accounts.name(row), text)
            for row in members
            for text in strongest(context.texts.of(row))[:POSTS_PER_MEMBER]
        ]
        quoted = sorted(quoted, key=lambda pair: (-pair[1].llr, pair[1].at, pair[0], pair[1].id))[:MOST_POSTS]
        points = self._points(listed, members)
        alert.members = sorted(accounts.name(row) for row in members)
        targets = self._targets(objects, set(members))
        alert.near = [*(each.account for each in ground.near), *(each.account for each in targets)]
        alert.shown = [event_key(name, text.id) for name, text in quoted]
        alert.shown += [event_key(post.account, post.id) for post in targets]
        alert.shown += [event_key(post.account, post.id) for each in points for post in each.posts]
        case = GroupCase(
            members=len(members),
            flagged=int(accounts.flagged[members].sum()),
            machine_nats=judged.nats,
            decoy_q=group.q,
            decoy_groups=listed.decoy_groups,
            target_fdr=context.settings.target_fdr,
            shared=_shared(ground.edges, objects),
            is_campaign=alert.kind == "campaign",
            points=[(each.members, [post.id for post in each.posts]) for each in points],
            near=len(ground.near),
            left_out=len(group.members) - len(members),
            decided_people=decision == "human_coordination",
            quoted=[text.id for _, text in quoted if text.llr > 0],
        )
        out.revisions.append(
            fitted(
                AlertRecord(
                    v=ALERT_VERSION,
                    id=alert.id,
                    kind=alert.kind,
                    revision=alert.revision,
                    status=alert.status,
                    merged_into=alert.merged_into,
                    at=rfc3339(tick_ms),
                    first_post_at=rfc3339(min(ground.first_ms, group.found_ms)),
                    last_post_at=rfc3339(int(accounts.last_at[members].max())),
                    members=shown,
                    statistic=group.q,
                    threshold=context.settings.target_fdr,
                    threshold_kind="decoy_q",
                    target_fdr=context.settings.target_fdr,
                    decoy_q=group.q,
                    evidence=mean_llr(shown),
                    posts=[post_record(name, text) for name, text in quoted],
                    edges=ground.edges,
                    talking_points=points,
                    targets=targets,
                    near=ground.near,
                    models=context.models.versions,
                    reasons=group_reasons(case),
                    limitations=group_limitations(case),
                )
            )
        )
        out.pages.extend(details_pages(alert, ground.edges, context.moments_of(members), objects))

    def _common_ground(self, members: Sequence[int], tick_ms: int) -> _Ground:
        """What members share, and who is near them."""
        view, met = self._groups.traces_of(members, tick_ms)
        inside = np.isin(view.rows, members)
        edges = edges_within(view, met, inside, MOST_EDGES)
        within = inside[met.a] & inside[met.b]
        return _Ground(
            [edge_record(edge, view.names[edge.a], view.names[edge.b]) for edge in edges],
            [
                NearRecord(view.names[near.place], near.how, near.members)
                for near in nearby(view, met, inside, MOST_NEAR)
            ],
            int(met.at[within].min()) if within.any() else tick_ms,
        )

    def _targets(self, objects: Sequence[ObjectRecord], members: Collection[int]) -> list[PostRecord]:
        """Posts of others that members reposted, quoted or replied to, as far as their texts are still kept."""
        accounts, texts = self._context.accounts, self._context.texts
        found: list[PostRecord] = []
        for each in objects:
            if each.kind not in TARGET_KINDS or len(found) == MOST_TARGETS:
                continue
            # Names and ids may hold a slash, too.
            first, last = each.object.partition("/"), each.object.rpartition("/")
            for name, event in dict.fromkeys([(first[0], first[2]), (last[0], last[2])]):
                row = accounts.find(name)
                if row is not None and row not in members:
                    found += [post_record(name, text) for text in texts.of(row) if text.id == event][:1]
        return list({(post.account, post.id): post for post in found}.values())[:MOST_TARGETS]

    def _points(self, listed: Listed, members: Sequence[int]) -> list[TalkingPointRecord]:
        """The talking points with the members' own words, as far as those are still kept."""
        context = self._context
        kept: dict[tuple[int, bytes], KeptText] = {}
        for row in members:
            name = context.accounts.name(row)
            kept |= {(row, event_key(name, text.id)): text for text in context.texts.of(row)}
        out: list[TalkingPointRecord] = []
        for each in listed.points:
            said = [(post.row, kept[post.row, post.key]) for post in each if (post.row, post.key) in kept]
            voices = len({post.row for post in each if post.row in members})
            if len(said) > 1:
                posts = [post_record(context.accounts.name(row), text) for row, text in said[:MOST_VOICES]]
                cut = [msgspec.structs.replace(post, text=post.text[:POINT_CHARS]) for post in posts]
                out.append(TalkingPointRecord(voices, cut))
        return out


class _Ground(NamedTuple):
    """What members share, who is near them, and when two of them first met (ms)."""

    edges: list[EdgeRecord]
    near: list[NearRecord]
    first_ms: int


def _strength(group: Group) -> dict[int, float]:
    """How strongly each member is tied to the others, 1 for the strongest: chance of one controller, or nats shared."""
    ties = np.array(group.strength)
    if group.among == "suspects":
        ties = 1.0 / (1.0 + np.exp(-ties))
    most = float(ties.max(initial=0.0))
    share = ties / most if most > 0 else np.ones(len(ties))
    return {row: round(float(each), 4) for row, each in zip(group.members, share.tolist(), strict=True)}


def _shared(edges: Sequence[EdgeRecord], objects: Sequence[ObjectRecord]) -> dict[str, SharedKind]:
    """Kind -> coincidences and expected ones over all edges, and the objects shared by the most members."""
    met: dict[str, SharedKind] = {}
    for edge in edges:
        before = met.get(edge.kind, SharedKind(0.0, 0.0))
        met[edge.kind] = SharedKind(before.observed + edge.count, before.expected + edge.expected)
    return {
        kind: found._replace(objects=[each.object for each in objects if each.kind == kind])
        for kind, found in met.items()
    }
