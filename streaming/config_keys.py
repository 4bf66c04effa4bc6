"""Every configuration key: its default, its range, and the reason for both.

`Config` and its sections are the only list of keys there is: each field has its default, its range and, as its
description, the reason for both. Adding a key means adding a field. `streaming/config.py` fills them in from a file and
the environment. The models refuse values of the wrong type or out of range, wherever they are made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from detector.errors import ConfigError
from detector.times import parse_time

PREFIX: Final = "SWARMLIGHT_"
"""Every variable that begins with this is a key, or refused."""

PASSWORD_VARIABLE: Final = "SWARMLIGHT_KAFKA__SASL_PASSWORD"  # noqa: S105 - the name, not the password
"""A secret. It has no key in the file, so that no file of settings becomes a file of secrets."""

WEBHOOK_SECRET_VARIABLE: Final = "SWARMLIGHT_SINKS__WEBHOOK_SECRET"  # noqa: S105 - the name
"""Another."""

OZONE_VARIABLE: Final = "SWARMLIGHT_SINKS__OZONE_AUTHORIZATION"
"""Another."""

TOKEN_VARIABLE: Final = "SWARMLIGHT_LISTEN__TOKEN"  # noqa: S105 - the name
"""Another."""

SECRETS: Final = {
    "kafka.sasl_password": PASSWORD_VARIABLE,
    "sinks.webhook_secret": WEBHOOK_SECRET_VARIABLE,
    "sinks.ozone_authorization": OZONE_VARIABLE,
    "listen.token": TOKEN_VARIABLE,
}
"""What would be the key of each secret -> its variable. A file is named by the key with `_file` behind it."""

SHOWN_CHARACTERS: Final = 80
"""Of a refused value in a message: enough to recognise it, on one line of a terminal."""


def shown_value(value: object) -> str:
    """A value in a message: escaped, and cut, as it may be anything."""
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def to_toml(value: Any) -> str:
    """A value in TOML; JSON's strings and numbers are TOML's."""
    return json.dumps(value)


def _refusal(problem: str, key: str = "") -> PydanticCustomError:
    """The error of a validator. `key`: the one whose place the message names, where the validator sees several."""
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "key": key})


class Section(BaseModel):
    """A table of the file. Types are strict: `port = "80"` and `port = true` are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def first_line(path: str, name: str) -> SecretStr:
    """The secret in a file.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{name} = {path!r} cannot be read: {reason}") from None
    if not line:
        raise ConfigError(f"{name} = {path!r} has an empty first line")
    return SecretStr(line)


class KafkaConfig(Section):
    """`[kafka]`: where the broker is, and how this process talks to it."""

    bootstrap_servers: Annotated[
        str,
        Field(
            min_length=1, description="brokers to ask first, host:port, separated by commas; two are better than one"
        ),
    ] = "localhost:9092"
    topic_prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,100}$",
            description="put before every topic and group name, so that deployments can share a broker",
        ),
    ] = ""
    posts_topic: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,249}$",
            description="topic that posts are read from, where it is not `posts` behind the prefix, as one of your own",
        ),
    ] = ""
    alerts_prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,100}$",
            description="prefix of the topics that the feed and [sinks] read alerts from, where it is not "
            "topic_prefix: [shadow] canary_prefix",
        ),
    ] = ""
    posts_format: Annotated[
        str,
        Field(
            min_length=1,
            description="input format of its records: events, or what swarmlight reads besides (docs/how-to/read.md)",
        ),
    ] = "events"
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="SASL_SSL wherever the broker is not on this machine"),
    ] = "PLAINTEXT"
    sasl_mechanism: Annotated[
        Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Field(description="needed with SASL_PLAINTEXT and SASL_SSL; SCRAM never sends the password itself"),
    ] = ""
    sasl_username: Annotated[str, Field(description="name of this service at the broker")] = ""
    sasl_password_file: Annotated[
        str,
        Field(
            description="file whose first line is the password; SWARMLIGHT_KAFKA__SASL_PASSWORD may hold it instead, "
            "this file never does"
        ),
    ] = ""
    ssl_cafile: Annotated[
        str, Field(description="certificate authority of the broker (PEM); empty: the system's own")
    ] = ""
    standby: Annotated[
        Literal["cold", "warm"],
        Field(description="a warm standby reads along and takes over at once, at the price of the same work twice"),
    ] = "cold"
    partitions: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="partitions of posts where this program creates it: the most workers that can score",
        ),
    ] = 4
    replication_factor: Annotated[
        int, Field(ge=-1, le=10, description="copies of every topic this program creates; -1: the broker's own default")
    ] = -1
    poll_records: Annotated[
        int,
        Field(ge=1, le=100_000, description="records taken at once: 2000 saturate one core, 1 shows each at once"),
    ] = 2000
    session_timeout_s: Annotated[
        float,
        Field(ge=1, le=1800, description="seconds until a dead process is replaced; short ones replace slow ones too"),
    ] = 45.0
    retention_s: Annotated[
        int,
        Field(
            ge=60,
            description="seconds that observations are kept (default 7 days): longer than two snapshots and three days",
        ),
    ] = 604_800
    sasl_password: SecretStr | None = None

    @field_validator("bootstrap_servers")
    @classmethod
    def _every_server_has_a_port(cls, servers: str) -> str:
        for server in servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise _refusal(
                    f"kafka.bootstrap_servers: {shown_value(server)} is no host:port; write for example localhost:9092"
                )
        return servers

    @model_validator(mode="after")
    def _login_is_complete(self) -> Self:
        if self.security_protocol.startswith("SASL"):
            missing = ""
            if not self.sasl_mechanism or not self.sasl_username:
                missing = "kafka.sasl_mechanism and kafka.sasl_username"
            elif self.sasl_password is None and not self.sasl_password_file:
                missing = f"kafka.sasl_password_file or {PASSWORD_VARIABLE}"
            if missing:
                raise _refusal(f"{self.security_protocol} needs {missing}", key="security_protocol")
        elif self.sasl_mechanism:
            raise _refusal(
                f"kafka.sasl_mechanism has no effect with {self.security_protocol}; "
                "set kafka.security_protocol to SASL_SSL",
                key="sasl_mechanism",
            )
        return self

    def password(self) -> SecretStr | None:
        """The password, from the environment or from `sasl_password_file`; None where neither is set.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.sasl_password is not None or not self.sasl_password_file:
            return self.sasl_password
        return first_line(self.sasl_password_file, "[kafka] sasl_password_file")


class ShadowConfig(Section):
    """`[shadow]`: a deployment with other models that decides beside the live one, and is compared with it."""

    log: Annotated[
        Literal["", "live", "own"],
        Field(
            description="makes this deployment a shadow. live: it decides on what the live one's score wrote, which "
            "needs the same first-stage text model; own: it scores the same posts itself, for another one"
        ),
    ] = ""
    live_prefix: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9._-]{0,100}$", description="topic_prefix of the live deployment"),
    ] = ""
    begin: Annotated[
        str,
        Field(
            description="where it begins the log, as 2026-12-01T00:00:00Z: with what was written from then on; empty: "
            "with what retention has left. What accounts did before it has not seen"
        ),
    ] = ""
    canary_prefix: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{0,100}$",
            description="prefix of the topics alerts, alert-details and blind-sample that are put together of both "
            "deployments; empty: none",
        ),
    ] = ""
    canary_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of accounts, by a hash of their names, whose alerts there are the shadow's; 1: all of "
            "them, and of groups too. Whoever is in at one share is in at every larger one",
        ),
    ] = 0.0

    @model_validator(mode="after")
    def _begins_at_a_time(self) -> Self:
        if self.begin and parse_time(self.begin) is None:
            raise _refusal(
                f"shadow.begin: {shown_value(self.begin)} is no time; write for example 2026-12-01T00:00:00Z",
                key="begin",
            )
        return self

    @property
    def begin_ms(self) -> int | None:
        """`begin`, ms since 1970; None where it is empty."""
        return parse_time(self.begin) if self.begin else None


class StateConfig(Section):
    """`[state]`: what assess keeps on disk."""

    dir: Annotated[
        str,
        Field(
            min_length=1, description="folder for snapshots; shared storage lets a cold standby start from the newest"
        ),
    ] = "swarmlight-state"
    url: Annotated[
        str,
        Field(
            description="where copies of snapshots go that every process reaches, as fsspec names it "
            "(s3://bucket/folder, file:///mnt/shared): a process with an empty disk starts from them; empty: nowhere"
        ),
    ] = ""
    snapshot_every_s: Annotated[
        float,
        Field(
            ge=1,
            description="seconds between snapshots: what a restart has to read again, against the time to write one",
        ),
    ] = 300.0


class MetricsConfig(Section):
    """`[metrics]`: the HTTP endpoint with /metrics, /healthz and /readyz."""

    host: Annotated[
        str,
        Field(min_length=1, description="address to listen on; loopback, as the endpoint asks nobody for a password"),
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0: no endpoint")] = 9464


class ModelsConfig(Section):
    """`[models]`: the weights."""

    dir: Annotated[
        str,
        Field(description="folder with text, expert (the second stage), account and thresholds; empty: those shipped"),
    ] = ""
    second_stage: Annotated[
        str,
        Field(description="installed text model that reads suspects again; empty: the one in the folder of the models"),
    ] = ""


class LogConfig(Section):
    """`[log]`: what the process says about itself on standard error."""

    level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="least severe message that is written")
    ] = "INFO"
    format: Annotated[
        Literal["json", "text"], Field(description="json: one object a line, for machines; text: for eyes")
    ] = "json"


class FeedConfig(Section):
    """`[feed]`: the moderators' feed."""

    database: Annotated[
        str,
        Field(
            min_length=1,
            description="sqlite:///FILE, or for a team postgresql://user@host/name?sslmode=verify-full",
        ),
    ] = "sqlite:///swarmlight-feed.db"
    database_password_file: Annotated[
        str,
        Field(description="file whose first line is PostgreSQL's password; PGPASSWORD may hold it instead"),
    ] = ""
    host: Annotated[
        str, Field(min_length=1, description="address to listen on; loopback unless a proxy with TLS stands before it")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535, description="port to listen on; 0: any that is free")] = 8080
    public_url: Annotated[
        str,
        Field(
            pattern=r"^(https?://[^/\s]+/?)?$",
            description="address that browsers use, where a proxy stands before the feed; https marks cookies secure",
        ),
    ] = ""
    watch_below_posts: Annotated[
        int,
        Field(
            ge=0,
            le=1_000,
            description="an account's alert on fewer posts is watched and waits for more: one post decides nothing",
        ),
    ] = 3
    console_file: Annotated[
        str,
        Field(description="TOML file of policies, links to the platform and receivers of actions (docs/how-to/act.md)"),
    ] = ""
    lab_runs: Annotated[
        str,
        Field(
            description="folder whose folders are the policy lab's runs (swarmlight lab run --out); the console lists "
            "them"
        ),
    ] = ""

    second_look_share: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of decisions that somebody else makes a second time, blind; one in twenty costs little "
            "and shows within weeks whether people agree",
        ),
    ] = 0.05

    def database_password(self) -> SecretStr | None:
        """The password in `database_password_file`; None where none is named.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if not self.database_password_file:
            return None
        return first_line(self.database_password_file, "[feed] database_password_file")


class SinksConfig(Section):
    """`[sinks]`: places outside that alerts are sent to."""

    deliver: Annotated[
        str,
        Field(
            description="where the worker sends every revision of every alert, besides the topic alerts: NAME:TARGET "
            "as run --sink takes it, several separated by blanks"
        ),
    ] = ""

    webhook_secret_file: Annotated[
        str,
        Field(
            description="file whose first line is the secret that webhooks are signed with; "
            f"{WEBHOOK_SECRET_VARIABLE} may hold it instead"
        ),
    ] = ""
    internal_addresses: Annotated[
        Literal["refuse", "allow"],
        Field(
            description="whether alerts may go to addresses that are not of the public internet; refused, as whoever "
            "can name a webhook could reach services that trust this network"
        ),
    ] = "refuse"
    give_up_s: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="seconds after which a run gives up a service that takes nothing; the worker never does",
        ),
    ] = 300.0
    ozone_did: Annotated[str, Field(description="DID of the labeller that labels are made in the name of")] = ""
    ozone_account_label: Annotated[
        str,
        Field(
            pattern=r"^[a-z-]{0,100}$",
            description="label of accounts with an alert of their own; empty: none. Labels are public",
        ),
    ] = "llm-driven"
    ozone_campaign_label: Annotated[
        str, Field(pattern=r"^[a-z-]{0,100}$", description="label of members of campaigns; empty: none")
    ] = "llm-campaign"
    ozone_authorization_file: Annotated[
        str,
        Field(
            description="file whose first line is the value of the Authorization header for Ozone; "
            f"{OZONE_VARIABLE} may hold it instead"
        ),
    ] = ""
    webhook_secret: SecretStr | None = None
    ozone_authorization: SecretStr | None = None

    def ozone_secret(self) -> SecretStr | None:
        """How to authorise at Ozone, from the environment or from a file; None where neither is set.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.ozone_authorization is not None or not self.ozone_authorization_file:
            return self.ozone_authorization
        return first_line(self.ozone_authorization_file, "[sinks] ozone_authorization_file")

    def secret(self) -> SecretStr | None:
        """What webhooks are signed with, from the environment or from `webhook_secret_file`; None where neither is set.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.webhook_secret is not None or not self.webhook_secret_file:
            return self.webhook_secret
        return first_line(self.webhook_secret_file, "[sinks] webhook_secret_file")


OIDC_SECRET_VARIABLE: Final = "OIDC_CLIENT_SECRET"  # noqa: S105 - the name, not the secret
"""Holds the client's secret at the OpenID provider where no file does. Like `PGPASSWORD` it has no key: see
`PASSWORD_VARIABLE`."""


class SignInConfig(Section):
    """`[sign_in]`: who is let into the moderators' feed, besides local accounts."""

    local_accounts: Annotated[
        Literal["yes", "no"],
        Field(
            description="whether passwords let people in; no: only the OpenID provider and links of the command line do"
        ),
    ] = "yes"
    oidc_issuer: Annotated[
        str,
        Field(
            pattern=r"^(https://[^\s?#]+|http://(localhost|127\.0\.0\.1|\[::1\])[^\s?#]*)?$",
            description="issuer of an OpenID Connect provider, as its discovery document has it; empty: none",
        ),
    ] = ""
    oidc_client_id: Annotated[str, Field(description="what the provider calls the feed")] = ""
    oidc_client_secret_file: Annotated[
        str,
        Field(description="file whose first line is the client's secret; OIDC_CLIENT_SECRET may hold it instead"),
    ] = ""
    oidc_scopes: Annotated[
        str,
        Field(pattern=r"^openid( \S+)*$", description="what is asked for; some providers want `groups` for groups"),
    ] = "openid profile email"
    oidc_role_claim: Annotated[
        str,
        Field(
            min_length=1,
            description="claim that lists somebody's groups; dots lead into objects, such as realm_access.roles",
        ),
    ] = "groups"
    oidc_roles: Annotated[
        str,
        Field(
            description="GROUP=ROLE, separated by semicolons; the highest role counts, and who has none is not let in"
        ),
    ] = ""
    oidc_name_claim: Annotated[
        str, Field(min_length=1, description="claim that holds the name that colleagues see")
    ] = "preferred_username"
    oidc_label: Annotated[
        str, Field(min_length=1, max_length=60, description="what the login form calls the provider")
    ] = "your organisation"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise _refusal(
                "sign_in.oidc_issuer needs sign_in.oidc_client_id: the id under which the provider knows the feed",
                key="oidc_issuer",
            )
        if self.oidc_issuer and not self.oidc_roles:
            raise _refusal(
                "sign_in.oidc_issuer needs sign_in.oidc_roles, or nobody is let in: write GROUP=ROLE", key="oidc_issuer"
            )
        if self.local_accounts == "no" and not self.oidc_issuer:
            raise _refusal(
                'sign_in.local_accounts = "no" needs sign_in.oidc_issuer, or nobody is let in', key="local_accounts"
            )
        return self

    def client_secret(self) -> SecretStr | None:
        """The secret in `oidc_client_secret_file`; None where no file is named.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if not self.oidc_client_secret_file:
            return None
        return first_line(self.oidc_client_secret_file, "[sign_in] oidc_client_secret_file")


class ListenConfig(Section):
    """`[listen]`: public streams that are followed."""

    token_file: Annotated[
        str,
        Field(
            description="file whose first line is the token that a Mastodon server asks for; "
            f"{TOKEN_VARIABLE} may hold it instead"
        ),
    ] = ""
    token: SecretStr | None = None

    def secret(self) -> SecretStr | None:
        """The token, from the environment or from `token_file`; None where neither is set.

        Raises:
            ConfigError: the file cannot be read or is empty.
        """
        if self.token is not None or not self.token_file:
            return self.token
        return first_line(self.token_file, "[listen] token_file")


class Config(BaseSettings):
    """All keys. `given` names those that a file or variable set (`"kafka.topic_prefix"`), whatever their value.

    `Config()` has the defaults whatever the environment holds: only `load_config` looks there.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
    )

    target_fpr: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="share of people that may be flagged within the calibration's horizon (architecture page)",
        ),
    ] = 0.01
    min_texts: Annotated[
        int,
        Field(
            ge=1,
            le=1_000,
            description="texts with evidence from which on an account may be flagged: the spread of its texts, which "
            "tells most, takes two, and a third keeps one odd text from making it",
        ),
    ] = 3
    target_fdr: Annotated[
        float, Field(gt=0, lt=1, description="share of the reported groups that may be no coordinated group")
    ] = 0.05
    prior: Annotated[
        float,
        Field(
            gt=0,
            lt=1,
            description="share of accounts that are LLM-driven before any evidence; moves posteriors, never flags",
        ),
    ] = 0.01
    seed: Annotated[
        int, Field(ge=0, le=4_294_967_295, description="of every random choice, so that two runs are equal")
    ] = 0
    allowed_lateness_s: Annotated[
        int,
        Field(ge=0, le=86_400, description="seconds an event may come after later ones; every alert waits that long"),
    ] = 60
    duplicate_window_s: Annotated[
        int,
        Field(ge=0, le=604_800, description="seconds of event time within which the same account and id are one event"),
    ] = 3600
    tick_s: Annotated[
        int, Field(ge=1, le=86_400, description="seconds of event time between decisions about accounts")
    ] = 60
    campaign_tick_s: Annotated[
        int,
        Field(ge=1, le=604_800, description="seconds of event time between decisions about groups, which cost more"),
    ] = 600
    idle_partition_s: Annotated[
        float, Field(ge=0, description="seconds until an idle partition no longer holds the others back; 0: never")
    ] = 60.0
    second_stage_texts_per_s: Annotated[
        float,
        Field(
            ge=0,
            le=1_000_000,
            description="texts of reranking candidates the second-stage model may read per second of event time",
        ),
    ] = 20.0
    second_stage_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="share of all texts it may read: what is far from the threshold is not decided by it, and it "
            "costs forty times what the first stage does; 1: all of them, however far",
        ),
    ] = 0.15
    second_stage_texts_per_account_h: Annotated[
        int,
        Field(
            ge=1,
            le=1_000,
            description="texts of one account it may read in an hour of event time: an account that posts without "
            "pause does not take the budget of the others",
        ),
    ] = 12
    meaning_texts_per_s: Annotated[
        float,
        Field(
            ge=0,
            le=1_000_000,
            description="texts of suspects and of a panel that may be read for what they say, per second of event time",
        ),
    ] = 10.0
    alert_step_nats: Annotated[
        float, Field(ge=0, le=1000, description="nats by which evidence has to change before an alert is revised")
    ] = 1.0
    max_alerts_per_day: Annotated[
        int, Field(ge=0, description="new alerts per day of event time: what the moderators can read; 0: no limit")
    ] = 1000
    blind_sample_per_day: Annotated[
        float,
        Field(
            ge=0,
            le=10_000,
            description="accounts that are not flagged and go to the topic blind-sample each day of event time, on "
            "average, so that moderators can tell what is missed; 0: none, as it shows them what people wrote",
        ),
    ] = 0.0
    kafka: KafkaConfig = KafkaConfig()
    shadow: ShadowConfig = ShadowConfig()
    state: StateConfig = StateConfig()
    metrics: MetricsConfig = MetricsConfig()
    models: ModelsConfig = ModelsConfig()
    log: LogConfig = LogConfig()
    feed: FeedConfig = FeedConfig()
    sinks: SinksConfig = SinksConfig()
    sign_in: SignInConfig = SignInConfig()
    listen: ListenConfig = ListenConfig()
    given: frozenset[str] = frozenset()

    @model_validator(mode="after")
    def _a_shadow_has_topics_of_its_own(self) -> Self:
        own, shadow = self.kafka.topic_prefix, self.shadow
        if shadow.log and own == shadow.live_prefix:
            raise _refusal(
                "kafka.topic_prefix has to differ from shadow.live_prefix: a shadow writes topics of its own",
                key="topic_prefix",
            )
        if shadow.canary_prefix and shadow.canary_prefix in (own, shadow.live_prefix):
            raise _refusal(
                "shadow.canary_prefix has to differ from kafka.topic_prefix and shadow.live_prefix",
                key="canary_prefix",
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where `Config(...)` takes its values from: its arguments only. pydantic-settings calls this.

        Args:
            settings_cls: this class.
            init_settings: the arguments.
            env_settings: the process's environment; `load_config` reads the one it is given instead.
            dotenv_settings: a `.env` file; never read.
            file_secret_settings: a folder of secrets; never read.
        """
        return (init_settings,)


SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "": Config,
    "kafka": KafkaConfig,
    "shadow": ShadowConfig,
    "state": StateConfig,
    "metrics": MetricsConfig,
    "models": ModelsConfig,
    "log": LogConfig,
    "feed": FeedConfig,
    "sinks": SinksConfig,
    "sign_in": SignInConfig,
    "listen": ListenConfig,
}
"""Tables of the file by name, `""` for the top level, in the order in which they are printed."""


class Key(NamedTuple):
    """One key of the configuration."""

    section: str
    name: str
    field: FieldInfo

    @property
    def path(self) -> str:
        """`"kafka.topic_prefix"`, or `"seed"` at the top level."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def default(self) -> Any:
        """The value where neither file nor environment gives one."""
        return self.field.default

    @property
    def reason(self) -> str:
        """What the key is for, and why its default is what it is."""
        return self.field.description or ""

    def allowed(self) -> str:
        """The values it may take beyond its type, in words; empty where any will do."""
        choices = get_args(self.field.annotation)
        if choices:
            return "one of " + ", ".join(to_toml(choice) for choice in choices)
        words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
        bounds = [(words[name], getattr(meta, name)) for meta in self.field.metadata for name in words
                  if hasattr(meta, name)]  # fmt: skip
        return ", ".join(f"{word} {bound}" for word, bound in bounds)

    def expected(self) -> str:
        """What a value has to be, for the message about one that is not."""
        if get_args(self.field.annotation):
            return self.allowed()
        if self.field.annotation is str:
            patterns = [meta.pattern for meta in self.field.metadata if getattr(meta, "pattern", None)]
            return f"a text that matches {patterns[0]}" if patterns else "a text that is not empty"
        kind = "a whole number" if self.field.annotation is int else "a finite number"
        return f"{kind}, {allowed}" if (allowed := self.allowed()) else kind


def keys() -> Iterator[Key]:
    """All keys, section by section. A field without a description is no key."""
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            if field.description:
                yield Key(section, name, field)


def variable(key: Key) -> str:
    """The environment variable that sets `key`."""
    return PREFIX + key.path.replace(".", "__").upper()
