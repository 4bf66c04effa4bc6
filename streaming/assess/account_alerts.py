"""One alert per flagged account: opened, revised as evidence moves, withdrawn with the flag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from detector.account.features import TEXT_NAMES, AccountFeatures
from detector.account.plain_features import PlainFeature, plain_features
from detector.reasons import (
    WITHDRAWN_AUTOMATED,
    WITHDRAWN_DECIDED,
    WITHDRAWN_DELETED,
    WITHDRAWN_PERSON,
    WITHDRAWN_TEXT,
    AccountCase,
    Reason,
    account_limitations,
    account_reasons,
)
from detector.times import rfc3339
from streaming.assess.alert_records import (
    MOST_POSTS,
    AlertContext,
    Written,
    details_pages,
    fitted,
    member_record,
    no_pages,
    post_record,
    strongest,
)
from streaming.assess.alert_store import NOT_SUPPRESSED, StoredAlert
from streaming.assess.duplicates import event_key
from streaming.assess.store import NEVER, STRONGEST
from streaming.schema.alert import ALERT_VERSION, AlertRecord, AlertStatus
from streaming.schema.score import ScoreRecord

OVER_NATS: Final = 0.0
"""Total at which an account alert is withdrawn by itself: what was seen no longer speaks for a machine at all. Flags
are judged on running maxima, so falling back under the threshold alone takes nothing back."""

LEAST_UNSHOWN: Final = 2
"""Posts, of those kept because they speak loudest, that the last revision does not quote and that bring another
one: an account that goes on posting is not shown by its first three posts for ever, nor anew with each post."""

_BELOW_ZERO: Final = TEXT_NAMES.index("llr_below_0")


class AccountAlerts:
    """Keeps account alerts in step with the flags.

    Args:
        context: the state they are written from.
    """

    def __init__(self, context: AlertContext) -> None:
        self._context = context

    def flagged(self, rows: Iterable[int]) -> None:
        """These accounts were newly flagged. One that returned, with its alert still open, goes on with that one."""
        store = self._context.store
        for row in rows:
            if row not in store.open_of_row:
                alert = store.of_account(self._context.accounts.name(row))
                if alert is not None and alert.open:
                    store.open_of_row[row] = alert.id
                else:
                    store.waiting.add(row)

    def settle(self, tick_ms: int, changed: Iterable[int], forced: set[int]) -> Written:
        """The revisions that a tick brings.

        Args:
            tick_ms: time of the tick, ms since 1970 UTC.
            changed: rows whose evidence or flag may have changed.
            forced: rows whose alert shows something that was deleted.
        """
        context, store, max_per_day = self._context, self._context.store, self._context.settings.max_alerts_per_day
        accounts, evidence = context.accounts, context.evidence
        out = Written([], [])
        for row in sorted({row for row in (*changed, *forced) if row in store.open_of_row}, key=accounts.name):
            alert = store.of_accounts[store.open_of_row[row]]
            self._take_flag_back(row)
            if not accounts.flagged[row]:
                del store.open_of_row[row]
                self._write(alert, row, tick_ms, "withdrawn", out)
            elif (
                row in forced
                or alert.moved((float(accounts.total[row]),), context.settings.alert_step_nats)
                or self._quotes_are_old(alert, row)
            ):
                self._write(alert, row, tick_ms, "open", out)
        for row in sorted(forced.difference(store.open_of_row), key=accounts.name):
            left = store.of_account(accounts.name(row))
            if left is not None and left.open:  # of an account that left the state: all that can be said is nothing
                left.revise("withdrawn", (0.0,))
                out.revisions.append(context.emptied(left, tick_ms, Reason(WITHDRAWN_TEXT)))
                out.pages.extend(no_pages(left))
        for row in list(store.waiting):
            self._take_flag_back(row)
            if not accounts.flagged[row]:
                store.waiting.discard(row)
        if store.waiting and store.has_room(tick_ms, max_per_day):
            rows = np.array(sorted(store.waiting), np.int64)
            strength = dict(zip(rows.tolist(), evidence.raw(rows).tolist(), strict=True))
            for row in sorted(store.waiting, key=lambda row: (-strength[row], accounts.name(row))):
                if not store.admit(tick_ms, max_per_day):
                    break
                name = accounts.name(row)
                alert = store.open_account(name)
                store.open_of_row[row] = alert.id
                store.waiting.discard(row)
                self._write(alert, row, tick_ms, "open", out)
        return out

    def _quotes_are_old(self, alert: StoredAlert, row: int) -> bool:
        """Whether the account has since written posts that speak louder for a machine than those that are quoted."""
        shown = set(alert.shown)
        loudest = strongest(self._context.texts.of(row))[:STRONGEST]
        return sum(event_key(alert.account, text.id) not in shown for text in loudest) >= LEAST_UNSHOWN

    def _take_flag_back(self, row: int) -> None:
        """An account loses its flag once nothing speaks for a machine any more, or it says itself that it is one."""
        accounts = self._context.accounts
        if accounts.total[row] <= OVER_NATS or accounts.automated[row] == 1:
            self._context.evidence.unflag(row)

    def _write(self, alert: StoredAlert, row: int, tick_ms: int, status: AlertStatus, out: Written) -> None:
        context, accounts = self._context, self._context.accounts
        alert.revise(status, (float(accounts.total[row]),))
        score = next(context.scores.of(np.array([row], np.int64)))
        quoted = strongest(context.texts.of(row))[:MOST_POSTS] if alert.open else []
        if alert.open:
            alert.members = [score.account]
            alert.shown = [event_key(score.account, text.id) for text in quoted]
        case = self._case(row, score, [text.id for text in quoted if text.llr > 0])
        reasons = account_reasons(case)
        if not alert.open:
            reasons = [self._why_withdrawn(row), *reasons]
        first, last = int(accounts.first_post[row]), int(accounts.last_post[row])
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
                    first_post_at=rfc3339(first if first != NEVER else int(accounts.last_at[row])),
                    last_post_at=rfc3339(last if last != NEVER else int(accounts.last_at[row])),
                    members=[member_record(score, accounts, row)],
                    statistic=score.llr.total,
                    threshold=round(context.evidence.threshold_source(row).threshold, 6),
                    threshold_kind="conformal_p",
                    target_fpr=context.evidence.target_fpr,
                    evidence=score.llr,
                    posts=[post_record(score.account, text) for text in quoted],
                    models=context.models.versions,
                    reasons=reasons,
                    limitations=account_limitations(case),
                )
            )
        )
        out.pages.extend(details_pages(alert, [], context.moments_of([row]), []) if alert.open else no_pages(alert))

    def _case(self, row: int, score: ScoreRecord, quoted: list[str]) -> AccountCase:
        """The numbers behind the alert of the account in `row`."""
        context, accounts, llr = self._context, self._context.accounts, score.llr
        features = context.evidence.statistics.features(np.array([row], np.int64))
        return AccountCase(
            text=llr.text,
            behaviour=llr.behaviour,
            coordination=llr.coordination,
            graph=llr.graph,
            posts=int(features.posts[0]),
            target_fpr=context.evidence.target_fpr,
            thresholds=context.models.thresholds,
            rate_bounds=context.evidence.threshold_source(row).interval(),
            text_high=1.0 - float(features.text[0, _BELOW_ZERO]),
            reranked_texts=round(float(features.second_stage[0])),
            automated=int(accounts.automated[row]),
            group_size=context.scores.group_size(row),
            abstained=score.abstained,
            quoted=quoted,
            style=() if "text" in score.abstained else self._style(features),
        )

    def _style(self, features: AccountFeatures) -> list[PlainFeature]:
        """What the text evidence of one account is made of that can be said plainly, as it counts after decisions."""
        models = self._context.models
        text = float(models.account.components(features).text[0])
        return plain_features(models.account, features, models.weights.worth("text", text))

    def _why_withdrawn(self, row: int) -> Reason:
        accounts = self._context.accounts
        if accounts.automated[row] == 1:
            return Reason(WITHDRAWN_AUTOMATED)
        if accounts.suppression_threshold[row] > NOT_SUPPRESSED:
            return Reason(WITHDRAWN_DECIDED)
        return Reason(WITHDRAWN_PERSON)

    def forget(self, rows: Iterable[int], names: set[str], tick_ms: int) -> Written:
        """Close the alerts of deleted accounts with a revision that says nothing of them.

        Args:
            rows: of the accounts that were in the state.
            names: of all accounts that were deleted.
            tick_ms: time of the tick, ms since 1970 UTC.
        """
        context = self._context
        out = Written([], [])
        for row in rows:
            context.store.forget_row(row)
        for name in sorted(names):
            alert = context.store.of_account(name)
            if alert is None or not alert.revision:
                continue
            alert.account, alert.withheld_flag = "", None
            alert.revise("withdrawn", (0.0,))
            out.revisions.append(context.emptied(alert, tick_ms, Reason(WITHDRAWN_DELETED)))
            out.pages.extend(no_pages(alert))
        return out
