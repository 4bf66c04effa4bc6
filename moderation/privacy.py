"""Has the feed forget an account: its posts, its places in alerts, its name, what was written about it.

What stays is the audit log, which knows it by a pseudonym alone, and that pseudonym, so that no record read later
brings the account back. Decisions stay too, without the account's name and without the words written with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote_plus

import msgspec
from sqlalchemy import Connection, delete, or_, select, update

from moderation import audit
from moderation.audit import key, pseudonym
from moderation.cases import summarise
from moderation.db import Alert, Decision, Forgotten, Member, Outgoing, Page, View, upsert
from moderation.records import dump, json_text, names, page_without, read_alert, read_page, storable, without
from moderation.roles import Actor
from streaming.assess.alert_store import account_alert_id


@dataclass(frozen=True)
class Forgot:
    """What was touched: alerts rewritten, pages rewritten, decisions stripped, unsent records of feedback dropped."""

    alerts: int
    pages: int
    decisions: int
    unsent: int


def forget(connection: Connection, actor: Actor, account: str, now: int) -> Forgot:
    """Forget `account` within the connection's transaction.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("admin")
    mark = pseudonym(key(connection), account)
    own = account_alert_id(account)
    connection.execute(upsert(connection, Forgotten).values(mark=mark, at=now).on_conflict_do_nothing())
    named = set(connection.scalars(select(Member.alert_id).where(Member.account == storable(account))))
    # An alert may still quote somebody who is no longer a member; texts are searched as JSON has them.
    quoted = json_text(account)
    named |= set(connection.scalars(select(Alert.id).where(Alert.body.contains(quoted, autoescape=True))))
    alerts = _rewrite_alerts(connection, named | {own}, account, now)
    held = select(Page).where(or_(Page.alert_id.in_(named), Page.body.contains(quoted, autoescape=True)))
    pages = 0
    for row in connection.execute(held).all():
        page = page_without(read_page(row.body), {account})
        connection.execute(
            update(Page).where(Page.alert_id == row.alert_id, Page.page == row.page).values(body=dump(page))
        )
        pages += 1
    about = or_(Decision.account == account, Decision.alert_id == own)
    unsent = connection.execute(
        delete(Outgoing).where(Outgoing.sent == 0, Outgoing.decision_id.in_(select(Decision.id).where(about)))
    ).rowcount
    stripped = connection.execute(
        update(Decision).where(about).values(account=None, policy="", reason="", note="")
    ).rowcount
    stripped += _strip_words(connection, account)
    connection.execute(delete(View).where(View.query.contains(quote_plus(account), autoescape=True)))
    audit.append(connection, now, actor, "forget", mark, {"alerts": alerts, "decisions": stripped})
    return Forgot(alerts, pages, stripped, unsent)


def _rewrite_alerts(connection: Connection, names: Iterable[str], account: str, now: int) -> int:
    done = 0
    for name in sorted(names):
        row = connection.execute(select(Alert.body).where(Alert.id == name)).one_or_none()
        if row is None:
            continue
        before = read_alert(row.body)
        record = without(before, {account})
        if record == before:
            continue
        made = summarise(record)
        connection.execute(
            update(Alert)
            .where(Alert.id == name)
            .values(body=dump(record), title=made.title, digest=made.digest, members=len(record.members), changed=now)
        )
        connection.execute(delete(Member).where(Member.alert_id == name, Member.account == storable(account)))
        done += 1
    return done


def _strip_words(connection: Connection, account: str) -> int:
    """Words written with other decisions that name the account."""
    columns = (Decision.policy, Decision.reason, Decision.note)
    asked = select(Decision.id, *columns).where(or_(*(each.contains(account, autoescape=True) for each in columns)))
    found = [
        row.id for row in connection.execute(asked) if names("\n".join((row.policy, row.reason, row.note)), account)
    ]
    if found:
        connection.execute(update(Decision).where(Decision.id.in_(found)).values(policy="", reason="", note=""))
        waiting = select(Outgoing.seq, Outgoing.body).where(Outgoing.sent == 0, Outgoing.decision_id.in_(found))
        for row in connection.execute(waiting).all():
            body = msgspec.json.encode(msgspec.json.decode(row.body) | {"reason": ""}).decode()
            connection.execute(update(Outgoing).where(Outgoing.seq == row.seq).values(body=body))
    return len(found)
