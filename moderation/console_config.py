"""What the operator configures of the console besides `[feed]`: policies, links to the platform, receivers of actions.

A TOML file that `[feed] console_file` names. Everything in it but secrets is kept in the database at start
(`keep`), so that a decision is checked in its own transaction and every feed on one database sees the same. A policy
that is taken out of the file is retired: it can no longer be chosen, and decisions that named it still say what it was.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, select

from detector.errors import ConfigError, FeedError, UsageError
from moderation.database_tables import Meta as MetaRow
from moderation.db import upsert
from streaming.config_keys import first_line
from streaming.outgoing import checked_url
from streaming.schema.feedback import DecisionKind

Severity = Literal["low", "medium", "high", "critical"]

Format = Literal["json", "ozone", "osprey"]

MAX_POLICIES: Final = 200
"""More would be a list nobody chooses from."""

MAX_RECEIVERS: Final = 20

KEY: Final = "console_config"
"""Of the row in table `meta`."""

MAX_FILE_BYTES: Final = 1 << 20

FIELD: Final = re.compile(r"\{([^{}]*)\}")
"""A place of a link's template that is filled in."""

Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")]
"""Of a policy: it stands in addresses and in other programs."""

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]

Line = Annotated[str, Meta(min_length=1, max_length=200)]


class ModerationPolicy(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule that a decision may name.

    `decisions` are those that it goes with, none for all. An alert of one of `kinds` (none for all) whose quoted posts,
    links or tags have one of `words` has this policy proposed, and queues can be made of it.
    """

    code: Code
    text: Line
    severity: Severity = "medium"
    reason_required: bool = False
    decisions: list[DecisionKind] = []
    words: Annotated[list[Line], Meta(max_length=200)] = []
    kinds: list[Literal["account", "campaign", "coordination"]] = []
    retired: bool = False
    """Set by `keep` alone."""


class Required(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Decisions that are refused without a reason, and without a policy."""

    reason_for: list[DecisionKind] = []
    policy_for: list[DecisionKind] = []


class PlatformLinks(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Templates of addresses on the platform; "" for no link.

    `{account}`, `{post}` and, of a thread, `{thread}` stand for names and ids, which are put in URL-encoded.
    """

    account: str = ""
    post: str = ""
    thread: str = ""
    name: Annotated[str, Meta(max_length=40)] = "the platform"


class Receiver(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A program that is told of decisions by signed webhooks.

    Args:
        name: of it, on pages and in the API.
        url: where it is told; https, or http where `allow_internal`.
        format: of the body (`moderation.action_formats`).
        secret_file: file whose first line is the secret that both sides know; a relative path is beside this file.
        decisions: those that it is told of.
        policies: only of decisions with one of these; none for all.
        delay_s: so many seconds after the decision, in which taking it back stops it.
        allow_internal: whether its address may be of this machine or of a private network.
        labeler: format "ozone": the DID in whose name labels are made.
        labels: formats "ozone" and "osprey": decision -> label; a decision without one makes none.
        entity_type: format "osprey": what its rules call an account.
    """

    name: Name
    url: Annotated[str, Meta(max_length=2000)]
    format: Format = "json"
    secret_file: str = ""
    decisions: list[DecisionKind] = msgspec.field(default_factory=lambda: ["llm_campaign"])
    policies: list[Code] = []
    delay_s: Annotated[int, Meta(ge=0, le=86_400)] = 0
    allow_internal: bool = False
    labeler: str = ""
    labels: dict[DecisionKind, Annotated[str, Meta(pattern=r"^[a-z][a-z-]{0,99}$")]] = {}
    entity_type: Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")] = "User"

    def secret(self) -> str:
        """The secret in its file.

        Raises:
            ConfigError: the file cannot be read, or its first line is empty.
        """
        return first_line(self.secret_file, f"receiver {self.name}: secret_file").get_secret_value()

    def wants(self, decision: str, policy: str) -> bool:
        """Whether it is told of a decision with a policy ("" for none)."""
        return decision in self.decisions and (not self.policies or policy in self.policies)


class ConsoleConfig(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of the file."""

    policy: list[ModerationPolicy] = []
    required: Required = Required()
    links: PlatformLinks = PlatformLinks()
    receiver: list[Receiver] = []

    @property
    def policies(self) -> list[ModerationPolicy]:
        """The policies that can be chosen."""
        return [each for each in self.policy if not each.retired]

    def policy_of(self, code: str) -> ModerationPolicy | None:
        """The policy with a code, retired or not; None where there is none."""
        return next((each for each in self.policy if each.code == code), None)

    @property
    def policy_texts(self) -> dict[str, str]:
        """Code -> text of all policies, retired ones too."""
        return {each.code: each.text for each in self.policy}


NOTHING: Final = ConsoleConfig()

_decoder: Final = msgspec.json.Decoder(ConsoleConfig)


def load(path: Path) -> ConsoleConfig:
    """The configuration in a file.

    Raises:
        ConfigError: it cannot be read, or something in it cannot be used.
    """
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"[feed] console_file = {str(path)!a} cannot be read: {error.strerror}") from None
    if len(body) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes, so it is no configuration; name another file")
    try:
        found = msgspec.convert(tomllib.loads(body.decode()), ConsoleConfig)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not TOML in UTF-8: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {ascii(str(error))[1:-1]}; docs/how-to/act.md has every key") from None
    problem = _problem(found)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    # A relative path is one beside the file, wherever the feed is started.
    beside = [msgspec.structs.replace(each, secret_file=str(path.parent / each.secret_file)) for each in found.receiver]
    return msgspec.structs.replace(found, receiver=beside)


def keep(connection: Connection, config: ConsoleConfig) -> ConsoleConfig:
    """Keep the configuration in the database, with the policies that it retires.

    Args:
        connection: in a write transaction.
        config: as `load` gives it; `NOTHING` where no file is named.

    Returns:
        What is in force now.
    """
    codes = {each.code for each in config.policy}
    retired = [
        msgspec.structs.replace(each, retired=True) for each in current(connection).policy if each.code not in codes
    ]
    # Addresses of webhooks often hold a secret, and whoever looks at decisions needs none of this.
    told = [msgspec.structs.replace(each, url="", secret_file="") for each in config.receiver]
    made = msgspec.structs.replace(config, policy=[*config.policy, *retired], receiver=told)
    value = msgspec.json.encode(made).decode()
    statement = upsert(connection, MetaRow).values(key=KEY, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
    return made


def current(connection: Connection) -> ConsoleConfig:
    """The configuration in force."""
    value = connection.scalar(select(MetaRow.value).where(MetaRow.key == KEY))
    return NOTHING if value is None else _decoder.decode(value)


def check_decision(config: ConsoleConfig, decision: str, policy: str, reason: str) -> None:
    """Return if a decision may be made with this policy and reason.

    Args:
        config: in force.
        decision: what is decided.
        policy: code of a policy; "" for none. Where no policies are configured, any text.
        reason: as it was written.

    Raises:
        FeedError: `invalid`: no such policy, one that does not go with the decision, or something required is missing.
    """
    named = config.policy_of(policy) if policy else None
    choices = ", ".join(each.code for each in config.policies if not each.decisions or decision in each.decisions)
    if policy and config.policies and (named is None or named.retired):
        raise FeedError("invalid", f"there is no policy {policy!a}: choose {choices or 'none'}")
    if named is not None and named.decisions and decision not in named.decisions:
        raise FeedError("invalid", f"policy {named.code} does not go with this decision: choose {choices or 'none'}")
    if not policy and decision in config.required.policy_for:
        raise FeedError("invalid", f"this decision needs a policy: choose one of {choices}")
    if not reason and (decision in config.required.reason_for or (named is not None and named.reason_required)):
        because = f"policy {named.code}" if named is not None and named.reason_required else "this decision"
        raise FeedError("invalid", f"{because} needs a reason: write one")


def link(template: str, **values: str) -> str:
    """An address on the platform; "" without a template or where a value is missing.

    Args:
        template: of `PlatformLinks`.
        values: what stands for its places.
    """
    wanted = FIELD.findall(template)
    if not template or any(not values.get(name) for name in wanted):
        return ""
    return FIELD.sub(lambda match: quote(values[match.group(1)], safe=""), template)


def _problem(config: ConsoleConfig) -> str:
    """What cannot be used, in words; "" where all can."""
    codes = [each.code for each in config.policy]
    names = [each.name for each in config.receiver]
    if len(codes) > MAX_POLICIES or len(names) > MAX_RECEIVERS:
        return f"at most {MAX_POLICIES} policies and {MAX_RECEIVERS} receivers can be configured"
    for what, found in (("policies", codes), ("receivers", names)):
        twice = next((each for each in found if found.count(each) > 1), None)
        if twice is not None:
            return f"two {what} are called {twice}: give each a name of its own"
    if any(each.retired for each in config.policy):
        return "retired is no key: take the policy out of the file"
    if config.required.policy_for and not codes:
        return "[required] policy_for needs policies to choose from: add a [[policy]]"
    return _link_problem(config.links) or next(
        filter(None, (_receiver_problem(each, codes) for each in config.receiver)), ""
    )


def _link_problem(links: PlatformLinks) -> str:
    allowed = {"account": {"account"}, "post": {"account", "post"}, "thread": {"account", "post", "thread"}}
    for name, fields in allowed.items():
        template: str = getattr(links, name)
        if not template:
            continue
        bare = FIELD.sub("x", template)
        wrong = set(FIELD.findall(template)) - fields
        if wrong or "{" in bare or "}" in bare:
            return f"[links] {name}: only {', '.join(f'{{{each}}}' for each in sorted(fields))} are filled in"
        parts = urlsplit(bare)
        host = urlsplit(template).netloc
        if parts.scheme not in ("http", "https") or not parts.hostname or "{" in host or not template.isprintable():
            return f"[links] {name}: write an address that begins with https:// and a fixed host"
    return ""


def _receiver_problem(receiver: Receiver, codes: Sequence[str]) -> str:
    where = f"receiver {receiver.name}"
    try:
        parts = checked_url(receiver.url, f"{where}: url")
    except UsageError as error:
        return str(error)
    if parts.scheme == "http" and not receiver.allow_internal:
        return f"{where}: url has to be https; http is for addresses inside, with allow_internal = true"
    if not receiver.secret_file:
        return f"{where}: secret_file has to name a file whose first line is the secret"
    unknown = [code for code in receiver.policies if code not in codes]
    if unknown:
        return f"{where}: there is no policy {unknown[0]}"
    if receiver.format == "ozone" and not receiver.labeler.startswith("did:"):
        return f"{where}: format ozone needs labeler, the DID in whose name labels are made"
    if receiver.format != "json" and not receiver.labels:
        return f'{where}: format {receiver.format} needs labels, a table of decision = "label"'
    return ""
