"""What a platform does about accounts that the detector names: a policy, as a small TOML file states it.

A policy says which alerts it acts on, how sure the detector has to be, what is done, how long that takes and whether
somebody looks first. `read_policies` reads files, and tells the line of what cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from detector.errors import ConfigError
from simulation.population_config import Part, Positive, Share
from simulation.population_files import LARGEST_FILE_BYTES

Measure: TypeAlias = Literal["nothing", "label", "downrank", "rate-limit", "friction", "verify", "remove"]
ActOn: TypeAlias = Literal["account", "campaign", "either"]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=10_000.0)]

SHIPPED: Final = "simulation.lab"
"""Package whose folder `policies` has the policies that ship."""


class Review(Part, frozen=True, kw_only=True):
    """People who look at an alert before anything is done; alerts wait for them in order of time.

    How often they err is assumed (`Assumed.catches`, `Assumed.spares`) and varied with everything that is assumed.
    """

    hours_per_day: Annotated[float, Meta(gt=0.0, le=24.0)] = 4.0  # of one queue, all its reviewers together
    minutes_per_case: Positive = 10.0  # an alert, however many accounts it names
    begins_at: Annotated[float, Meta(ge=0.0, lt=24.0)] = 9.0  # hour of the day, UTC


class FeedChoice(Part, frozen=True, kw_only=True):
    """A feed in place of the one ranked by engagement: showing something else, with nothing decided about anybody."""

    algorithm: Literal["engagement", "chronological", "follows", "societal"]
    share: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0  # of readers who have it; the others keep the usual feed
    weight: NotNegative = 24.0  # societal: how far a post rated 1 against democratic values is put down


class Policy(Part, frozen=True, kw_only=True):
    """One policy. What a measure does not need is ignored by it."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    about: str = ""
    act_on: ActOn = "either"  # alerts about single accounts, about campaigns with all who are named, or both
    measure: Measure
    target_fpr: Annotated[float, Meta(ge=0.001, le=0.2)] = 0.01  # share of people that the detector may flag
    delay_hours: NotNegative = 0.0  # from the alert, or from the end of its review, until something is done
    review: Review | None = None
    put_down: NotNegative = 6.0  # downrank: in units of the ranking, which falls by 1 in two hours
    posts_per_day: NotNegative = 2.0  # rate-limit: posts of an account that others can still be shown
    wait_hours: NotNegative = 6.0  # friction: until others can be shown a post
    feed: FeedChoice | None = None

    @property
    def idle(self) -> bool:
        """Whether it leaves everything as it is."""
        return self.measure == "nothing" and self.feed is None


class Assumed(Part, frozen=True, kw_only=True):
    """What nobody has measured for your platform; the lab varies each number by a fifth either way."""

    pages_per_day: Positive = 4.0  # pages of the feed that a person reads without reacting
    depth: Positive = 6.0  # posts read of a page
    attention: Positive = 0.7  # how fast attention falls with the place on the page
    tie: Positive = 1.5  # pull of somebody close
    label: Positive = 0.3  # how much a warning keeps from reacting
    catches: Share = 0.85  # share of machines' accounts that a reviewer confirms
    spares: Share = 0.9  # share of people that a reviewer clears
    people_verify: Share = 0.8  # share of people who prove themselves when asked ...
    machines_verify: Share = 0.1  # ... and of machines' accounts
    verify_hours: Positive = 12.0  # until they do, on average


VARIED: Final = tuple(Assumed.__struct_fields__)


def concerning(policy: Policy, assumed: Assumed) -> Assumed:
    """What is assumed with what does not concern a policy as it is by default: what it does is the same with both."""
    fields = []
    if policy.measure != "label":
        fields.append("label")
    if policy.review is None:
        fields += ["catches", "spares"]
    if policy.measure != "verify":
        fields += ["people_verify", "machines_verify", "verify_hours"]
    usual = Assumed()
    return msgspec.structs.replace(assumed, **{name: getattr(usual, name) for name in fields})


_WHERE: Final = re.compile(r" - at `\$\.?([^`]*)`")


def line_of(text: str, key: str) -> int | None:
    """Line, from 1, on which a TOML text sets a key, `table.key` in a table; None where it does not.

    Args:
        text: a TOML file.
        key: dotted, as messages of msgspec have it.
    """
    table, _, name = key.rpartition(".")
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped.strip("[] \t")
            if inside == key:
                return number
        elif re.match(rf"[\"']?{re.escape(name)}[\"']?\s*=", stripped) and inside == table:
            return number
    return None


def parse_policy(text: str, where: str) -> Policy:
    """The policy in a TOML text.

    Args:
        text: the file's.
        where: its name, for messages.

    Raises:
        ConfigError: it is no policy; the message names file, line and key.
    """
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _WHERE.search(message)
        key = found.group(1) if found else ""
        unknown = re.search(r"unknown field `([^`]+)`", message)
        if unknown:
            key = f"{key}.{unknown.group(1)}" if key else unknown.group(1)
        line = line_of(text, key) if key else None
        place = f"{where}:{line}" if line else where
        said = _WHERE.sub("", message)
        raise ConfigError(
            f"{place}: {f'`{key}`: ' if key and not unknown else ''}{said}; "
            "docs/how-to/policies.md lists what a policy may set"
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: this is not TOML: {error}") from None
    return policy


def shipped_policies() -> list[Policy]:
    """The policies that ship, by name."""
    folder = files(SHIPPED).joinpath("policies")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".toml"))
    return [parse_policy(folder.joinpath(name).read_text(encoding="utf-8"), name) for name in names]


def read_policies(paths: Sequence[Path]) -> list[Policy]:
    """Policies of files, in their order; those that ship where there are none.

    Raises:
        ConfigError: a file cannot be read or is no policy, or two have one name.
    """
    found: list[Policy] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: the policy cannot be read: {error.strerror}") from None
        if len(data) > LARGEST_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {LARGEST_FILE_BYTES} bytes, so it is no policy; name another file")
        try:
            found.append(parse_policy(data.decode("utf-8"), str(path)))
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: not UTF-8; save it as UTF-8") from None
    found = found or shipped_policies()
    names = [policy.name for policy in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two policies are named {name}: give each a name of its own")
    return found
