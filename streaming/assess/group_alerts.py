"""One alert per coordinated group: for information, or as a campaign where the group is machine-driven too."""

from __future__ import annotations

import math
from collections.abc import Iterable

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
from graph.coordination import Edge
from graph.groups import Group
from streaming.assess.alert_records import (
    MOST_POSTS,
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
from streaming.assess.feedback import PERMITTED, Decisions
from streaming.assess.groups import Groups, e_value
from streaming.assess.machine_groups import GroupEvidence, GroupJudge
from streaming.schema.alert import ALERT_VERSION, AlertKind, AlertRecord, AlertStatus, ObjectRecord


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
        due = [(group, self._members(group)) for group in self._groups.accepted if all_groups or group.id in forced]
        cases = [(group, members, self._judge_members(members)) for group, members in due]
        if all_groups:
            self._context.store.held_back = 0
        for group, members, judged in sorted(cases, key=lambda case: (-case[2].nats, case[0].number)):
            self._group(group, members, judged, tick_ms, group.id in forced, out)
        live = {group.id for group in self._groups.accepted}
        for name in sorted(forced - live):
            alert = store.get(name)
            if alert is not None and alert.open and alert.kind != "account":
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_CHANGED), out)
        if all_groups or forced:
            self._read_campaigns()
        return out

    def examine(self, tick_ms: int) -> None:
        """Test the groups that are machine-driven as campaigns."""

        accounts = self._context.accounts
        counted = (accounts.automated != 1) & (accounts.suppression_threshold != PERMITTED)
        speaking = counted & (accounts.text_abstain == TextAbstain.NONE)
        own = self._context.evidence.own(np.arange(len(counted)))  # of everybody at once: groups are many

        machine_driven: list[Group] = []
        for group in self._groups.to_examine():
            rows = np.array(group.members, np.int64)
            if int(counted[rows].sum()) >= 2 and self._judge.judge(own[rows[speaking[rows]]]).machine:
                machine_driven.append(group)
        self._groups.examine(machine_driven, tick_ms)

    def _read_campaigns(self) -> None:
        """Find out who belongs to an alerted campaign."""
        accounts = self._context.accounts
        store = self._context.store
        live = {group.id: group for group in self._groups.accepted}
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
        group: Group,
        members: list[int],
        judged: GroupEvidence,
        tick_ms: int,
        forced: bool,
        out: Written,
    ) -> None:
        store = self._context.store
        alert = store.get(group.id)
        decision = self._decisions.current(group.id)
        if len(members) < 2 or (alert is not None and judged.nats < alert.suppression_threshold):
            if alert is not None and alert.open:
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_DECIDED), out)
            return
        was = alert is not None and alert.open and alert.kind == "campaign"
        machine = judged.still_machine if was else judged.machine
        people = decision == "human_coordination"
        kind: AlertKind = "campaign" if machine and group.campaign_ms is not None and not people else "coordination"
        if kind == "coordination" and not (group.accepted_among_all or people):
            if alert is not None and alert.open:
                self._close(alert, tick_ms, "withdrawn", Reason(WITHDRAWN_WEAK), out)
            return
        evidence = (round(group.log_e, 6), judged.nats)
        if alert is not None and alert.open and alert.kind == kind:
            if not forced and not alert.moved(evidence, self._context.settings.alert_step_nats):
                return
        elif kind == "campaign" and not store.admit(tick_ms, self._context.settings.max_alerts_per_day):
            self._context.store.held_back += 1
            return
        alert = store.open_group(group.id, kind)
        alert.revise("open", evidence)
        self._write(alert, group, members, judged, tick_ms, decision, out)

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
        group: Group,
        members: list[int],
        judged: GroupEvidence,
        tick_ms: int,
        decision: str | None,
        out: Written,
    ) -> None:
        context = self._context
        accounts = context.accounts
        found = self._groups.edges_within(members)
        edges = [edge_record(edge, accounts.name(edge.a), accounts.name(edge.b)) for edge in found]
        objects = list(objects_of(edges))
        strength = _strength(members, found)
        ranked = sorted(members, key=lambda row: (-strength[row], accounts.name(row)))
        shown = [
            member_record(score, strength[row])
            for row, score in zip(ranked, context.scores.of(np.array(ranked, np.int64)), strict=True)
        ]
        quoted = [
            (accounts.name(row), text)
            for row in members
            for text in strongest(context.texts.of(row))[:POSTS_PER_MEMBER]
        ]
        quoted = sorted(quoted, key=lambda pair: (-pair[1].llr, pair[1].at, pair[0], pair[1].id))[:MOST_POSTS]
        alert.members = sorted(accounts.name(row) for row in members)
        alert.shown = [event_key(name, text.id) for name, text in quoted]
        case = GroupCase(
            members=len(members),
            flagged=int(accounts.flagged[members].sum()),
            machine_nats=judged.nats,
            log_e=group.log_e,
            target_fdr=context.settings.target_fdr,
            shared=_shared(found, objects),
            is_campaign=alert.kind == "campaign",
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
                    first_post_at=rfc3339(group.since_ms),
                    last_post_at=rfc3339(int(accounts.last_at[members].max())),
                    members=shown,
                    statistic=e_value(group.log_e),
                    threshold=e_value(self._groups.threshold(group)),
                    threshold_kind="e_value",
                    target_fdr=context.settings.target_fdr,
                    evidence=mean_llr(shown),
                    posts=[post_record(name, text) for name, text in quoted],
                    edges=edges,
                    models=context.models.versions,
                    reasons=group_reasons(case),
                    limitations=group_limitations(case),
                )
            )
        )
        out.pages.extend(details_pages(alert, edges, context.moments_of(members), objects))


def _strength(members: list[int], edges: list[Edge]) -> dict[int, float]:
    """How strongly each member is tied to the others: the sum of its edges' residuals, 1 for the strongest member."""
    tied = dict.fromkeys(members, 0.0)
    for edge in edges:
        for row in (edge.a, edge.b):
            tied[row] += max(edge.z, 0.0)
    most = max(tied.values(), default=0.0)
    return {row: round(value / most, 4) if most > 0 and math.isfinite(most) else 1.0 for row, value in tied.items()}


def _shared(edges: list[Edge], objects: list[ObjectRecord]) -> dict[str, SharedKind]:
    """Kind -> co-occurrences and expected ones over all edges, and the objects shared by the most members."""
    met: dict[str, SharedKind] = {}
    for edge in edges:
        before = met.get(edge.kind, SharedKind(0.0, 0.0))
        met[edge.kind] = SharedKind(before.observed + edge.count, before.expected + edge.expected)
    return {
        kind: found._replace(objects=[each.object for each in objects if each.kind == kind])
        for kind, found in met.items()
    }
