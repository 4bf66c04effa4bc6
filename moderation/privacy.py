"""Forgetting an account: its posts, its places in alerts, its name, and what was written about it.

What stays is its pseudonym: in the audit log, and among the forgotten, so that no record read later brings the account
back. Decisions stay too, without the account's name and without the words written with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote_plus

import msgspec
from sqlalchemy import Connection, delete, or_, select, update

from moderation import actions, appeals, audit, missed_accounts, second_looks, word_index
from moderation.audit import pseudonym, pseudonym_key
from moderation.cases import summarise
from moderation.database_tables import (
    AlertRow,
    CaseEntry,
    DecisionRow,
    Draft,
    Forgotten,
    Member,
    Outgoing,
    Page,
    SavedView,
)
from moderation.db import upsert
from moderation.permissions import Actor
from moderation.topic_records import GAP, dump, json_text, names, page_without, read_alert, read_page, storable, without
from streaming.assess.alert_store import account_alert_id
from streaming.schema.feedback import encode_feedback, read_feedback


@dataclass(frozen=True)
class ForgetCounts:
    """What forgetting an account changed.

    Args:
        alerts: alerts rewritten.
        pages: pages of details rewritten.
        decisions: decisions whose words were removed.
        unsent: unsent feedback records dropped.
    """

    alerts: int
    pages: int
    decisions: int
    unsent: int


def forget(connection: Connection, actor: Actor, account: str, now: int) -> ForgetCounts:
    """Forget an account within the connection's transaction.

    Args:
        connection: in a write transaction.
        actor: needs the right "admin".
        account: name of the account, as events have it.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("admin")
    mark = pseudonym(pseudonym_key(connection), account)
    own = account_alert_id(account)
    connection.execute(upsert(connection, Forgotten).values(mark=mark, at=now).on_conflict_do_nothing())
    named = set(connection.scalars(select(Member.alert_id).where(Member.account == storable(account))))
    # An alert may still quote somebody who is no longer a member; texts are searched as JSON has them.
    quoted = json_text(account)
    named |= set(connection.scalars(select(AlertRow.id).where(AlertRow.body.contains(quoted, autoescape=True))))
    alerts = _rewrite_alerts(connection, named | {own}, account, now)
    pages_naming = select(Page).where(or_(Page.alert_id.in_(named), Page.body.contains(quoted, autoescape=True)))
    pages = 0
    for row in connection.execute(pages_naming).all():
        page = page_without(read_page(row.body), {account})
        connection.execute(
            update(Page).where(Page.alert_id == row.alert_id, Page.page == row.page).values(body=dump(page))
        )
        word_index.index_page(connection, page)
        pages += 1
    word_index.forget_words(connection)
    actions.forget_account(connection, account)
    appeals.forget_account(connection, account)
    second_looks.forget_account(connection, account, now)
    missed_accounts.forget_account(connection, account)
    about = or_(DecisionRow.account == account, DecisionRow.alert_id == own)
    # Decisions on the blind sample have no row among the decisions: the alert that the account would have names them.
    of_it = or_(Outgoing.alert_id == own, Outgoing.decision_id.in_(select(DecisionRow.id).where(about)))
    unsent = connection.execute(delete(Outgoing).where(Outgoing.sent == 0, of_it)).rowcount
    redacted = connection.execute(
        update(DecisionRow).where(about).values(account=None, policy="", reason="", note="")
    ).rowcount
    redacted += _redact_words(connection, account)
    said = select(CaseEntry.id, CaseEntry.words).where(CaseEntry.words.contains(account, autoescape=True))
    for number, said_words in connection.execute(said).all():
        if names(said_words, account):
            connection.execute(update(CaseEntry).where(CaseEntry.id == number).values(words=GAP))
    for column, by in ((AlertRow.escalated_reason, "escalated_reason"), (AlertRow.snoozed_reason, "snoozed_reason")):
        connection.execute(update(AlertRow).where(column.contains(account, autoescape=True)).values({by: GAP}))
    # Drafts are few and short-lived, and names stand in them as JSON has them.
    connection.execute(delete(Draft).where(Draft.body.contains(json.dumps(account)[1:-1], autoescape=True)))
    connection.execute(delete(SavedView).where(SavedView.query.contains(quote_plus(account), autoescape=True)))
    audit.append(connection, now, actor, "forget", mark, {"alerts": alerts, "decisions": redacted})
    return ForgetCounts(alerts, pages, redacted, unsent)


def _rewrite_alerts(connection: Connection, names: Iterable[str], account: str, now: int) -> int:
    done = 0
    for name in sorted(names):
        row = connection.execute(select(AlertRow.body).where(AlertRow.id == name)).one_or_none()
        if row is None:
            continue
        before = read_alert(row.body)
        record = without(before, {account})
        if record == before:
            continue
        summary = summarise(record)
        connection.execute(
            update(AlertRow)
            .where(AlertRow.id == name)
            .values(body=dump(record), title=summary.title, members=len(record.members), changed=now)
        )
        connection.execute(delete(Member).where(Member.alert_id == name, Member.account == storable(account)))
        word_index.index_alert(connection, record)
        done += 1
    return done


def _redact_words(connection: Connection, account: str) -> int:
    """Remove policy, reason and note of other decisions that name the account; how many decisions those are."""
    columns = (DecisionRow.policy, DecisionRow.reason, DecisionRow.note)
    query = select(DecisionRow.id, *columns).where(or_(*(each.contains(account, autoescape=True) for each in columns)))
    found = [
        row.id for row in connection.execute(query) if names("\n".join((row.policy, row.reason, row.note)), account)
    ]
    if found:
        connection.execute(update(DecisionRow).where(DecisionRow.id.in_(found)).values(policy="", reason="", note=""))
        waiting = select(Outgoing.seq, Outgoing.body).where(Outgoing.sent == 0, Outgoing.decision_id.in_(found))
        for row in connection.execute(waiting).all():
            record = msgspec.structs.replace(read_feedback(row.body), reason="")
            body = encode_feedback(record).decode()
            connection.execute(update(Outgoing).where(Outgoing.seq == row.seq).values(body=body))
    return len(found)
