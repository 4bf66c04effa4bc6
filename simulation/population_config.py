"""The configuration of a simulated population: every parameter of every generator, with its unit and range.

A `society.toml` sets any of them; what it leaves out keeps the default below. Each class is the parameter list of one
generator, whose module states the distribution; `tests/simulation` holds the generators to it.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Inner: TypeAlias = Annotated[float, Meta(gt=0.0, lt=1.0)]
Positive: TypeAlias = Annotated[float, Meta(gt=0.0)]
Exponent: TypeAlias = Annotated[float, Meta(ge=0.0, le=10.0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Goal: TypeAlias = Literal["link", "tag", "swarm", "amplify"]
Wording: TypeAlias = Literal["verbatim", "paraphrase", "independent", "copied"]
Cadence: TypeAlias = Literal["waves", "drip", "jitter", "copied", "framing"]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of `society.toml`: unknown keys are refused."""


class Activity(Part, frozen=True, kw_only=True):
    """How much an account does, and when (`people`, `sessions`)."""

    mean_per_day: Positive = 12.0  # events a day; lognormal over accounts with this mean ...
    spread: Positive = 0.9  # ... and this standard deviation of its logarithm
    branching: Inner = 0.5  # mean of Beta: further events that an event brings about in the same session
    branching_concentration: Positive = 12.0  # a + b of that Beta
    gap_s: Positive = 600.0  # seconds from an event to one it brings about: exponential; its mean is lognormal ...
    gap_spread: Positive = 0.6  # ... over accounts with mean gap_s and this standard deviation of its logarithm
    peak_hour: Annotated[float, Meta(ge=0.0, lt=24.0)] = 19.0  # local hour; normal over accounts with this mean ...
    peak_spread: Positive = 3.0  # ... and this standard deviation, in hours
    peakedness: Positive = 1.2  # concentration (kappa) of the von Mises density of sessions around the peak hour
    night: Share = 0.1  # share of sessions that are spread evenly over the day
    zones: tuple[float, ...] = (-8.0, -5.0, 0.0, 1.0, 5.5, 9.0)  # hours from UTC, equally likely for a community
    at_home: Share = 0.85  # an account lives in its community's zone, otherwise in any of the zones


class Kinds(Part, frozen=True, kw_only=True):
    """What an account does: one Dirichlet draw of shares an account (`people`)."""

    post: Positive = 0.26
    reply: Positive = 0.20
    repost: Positive = 0.19
    quote: Positive = 0.04
    like: Positive = 0.30
    follow: Positive = 0.01
    concentration: Positive = 10.0  # sum of the Dirichlet's parameters; the shares above are normalised to it
    links: Inner = 0.3  # mean of Beta: share of an account's texts that carry a link ...
    links_concentration: Positive = 4.0  # ... and a + b of it
    tags: Inner = 0.2  # the same for hashtags
    tags_concentration: Positive = 4.0


class TieSettings(Part, frozen=True, kw_only=True):
    """Who follows whom (`ties`)."""

    community: Count = 150  # accounts in a community, on average
    community_exponent: Exponent = 0.8  # weight of the k-th largest community: k to the power of minus this
    following: Positive = 15.0  # accounts an account chooses to follow: 1 + lognormal, rounded down; its mean ...
    following_spread: Positive = 0.8  # ... and standard deviation of its logarithm
    fame: Positive = 1.25  # Pareto exponent of the weight by which accounts are chosen
    inside: Share = 0.7  # choices that stay inside the community
    back: Share = 0.3  # choices that are answered by a follow back
    closeness: Exponent = 1.0  # the k-th closest of those followed is turned to with weight k to minus this


class Objects(Part, frozen=True, kw_only=True):
    """Links or hashtags: where they come from and how they rise and fall (`catalogue`)."""

    births_per_day: Positive  # new ones a day and 1,000 accounts: Poisson
    appeal: Annotated[float, Meta(gt=1.0)] = 1.6  # Pareto exponent of the weight by which they are chosen
    life_hours: Positive = 12.0  # the weight falls by e in this time; exponential over objects with this mean
    world: Share = 0.2  # objects that belong to no community
    own: Share = 0.5  # uses of something that nobody else uses: an own page, a passing word
    copied: Share = 0.15  # uses of what a followed account has just used, where it has


class Links(Objects, frozen=True, kw_only=True):
    births_per_day: Positive = 300.0
    domains: Annotated[int, Meta(ge=1, le=4096)] = 400
    domain_exponent: Exponent = 1.1  # share of the k-th largest domain: k to minus this


class Tags(Objects, frozen=True, kw_only=True):
    births_per_day: Positive = 60.0
    life_hours: Positive = 60.0
    own: Share = 0.15


class FeedSettings(Part, frozen=True, kw_only=True):
    """Whom people react to (`feed`)."""

    close: Share = 0.45  # reactions that go to an account one follows, by closeness
    answer: Share = 0.15  # reactions that go to the last account that replied to one, where there is one
    world: Share = 0.15  # reactions to anything anywhere, by popularity; the rest: inside the community, by popularity
    popularity: Exponent = 1.0  # weight of a text with n reactions: (1 + n) to this ...
    reach: Exponent = 0.7  # ... times (1 + followers of its author) to this
    recency_hours: Positive = 1.0  # the weight falls by e in this time


class News(Part, frozen=True, kw_only=True):
    """Moments at which many turn to the same thing: a burst."""

    per_day: Annotated[float, Meta(ge=0.0)] = 2.0  # Poisson
    drawn: Share = 0.03  # share of those it concerns who start a session because of it
    community: Share = 0.6  # bursts that concern one community only; the others concern everybody
    fade_minutes: Positive = 40.0  # exponential time from the moment to the session
    carried: Share = 0.7  # texts of such a session that carry the burst's link or hashtag where they carry any


class LookAlike(Part, frozen=True, kw_only=True):
    """People who look coordinated or automated. `share` 0 switches a kind off."""

    share: Share = 0.02  # of all accounts
    size: tuple[int, int] = (5, 40)  # of one crowd, log-uniform
    tasks_per_day: Positive = 4.0  # moments or things that a crowd gathers around, Poisson
    joint: Share = 0.4  # share of a member's sessions that they explain
    lag_s: Positive = 1200.0  # exponential time from the moment to a member's session


class LookAlikes(Part, frozen=True, kw_only=True):
    """The organic crowds (`lookalikes`), each with its name in the truth's `slice`."""

    news: LookAlike = LookAlike(share=0.03, size=(20, 200), tasks_per_day=3.0, lag_s=2400.0)
    fandom: LookAlike = LookAlike(share=0.03, size=(30, 200), tasks_per_day=2.0, joint=0.5, lag_s=600.0)
    share_button: LookAlike = LookAlike(share=0.03)
    friends: LookAlike = LookAlike(share=0.04, size=(4, 12))
    activists: LookAlike = LookAlike(share=0.02, size=(8, 60), tasks_per_day=4.0, lag_s=600.0)
    brand: LookAlike = LookAlike(share=0.01)
    declared_bot: LookAlike = LookAlike(share=0.005)
    giveaway: LookAlike = LookAlike(share=0.02, size=(15, 100), tasks_per_day=2.0, lag_s=900.0)
    live_event: LookAlike = LookAlike(share=0.03, size=(20, 150), tasks_per_day=6.0, lag_s=240.0)
    writing_help: LookAlike = LookAlike(share=0.03)
    second_language: LookAlike = LookAlike(share=0.04)
    fan_club: LookAlike = LookAlike(share=0.0, size=(5, 40), tasks_per_day=6.0, joint=0.6)


class Tactics(Part, frozen=True, kw_only=True):
    """How one operator's accounts act together: what an adaptive operator may change between rounds."""

    cadence: Cadence = "waves"
    tasks_per_day: Positive = 6.0  # moments or things that the accounts gather around, Poisson
    awake: bool = False  # tasks come at the hours at which members are awake; otherwise evenly over the clock
    lag_s: Positive = 900.0  # exponential time from the moment to a member's session
    joint: Share = 0.5  # share of a member's acts that serve a task; the rest is cover traffic
    goals: tuple[Goal, ...] = ("link", "tag")
    hijack: Share = 0.0  # tasks that ride on what people already share instead of something new
    clique: Share = 0.0  # share of its closest ties that a member has inside the campaign (mutual amplification)
    wording: Wording = "independent"


class Crude(Part, frozen=True, kw_only=True):
    """What gives crude operators away: factors on what a person's account would be."""

    rate: Positive = 1.0  # events a day
    reposts: Positive = 1.0  # weight of reposts among kinds
    likes: Positive = 1.0  # weight of likes among kinds
    age: Positive = 1.0  # days since the account was made
    flat: Share = 0.0  # share of sessions spread evenly over the day, in place of `activity.night`
    audience: Positive = 1.0  # weight by which others choose to follow it


class Operator(Part, frozen=True, kw_only=True):
    """A family of campaigns."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    weight: Positive = 1.0  # its share among campaigns
    size: tuple[int, int] = (3, 200)  # accounts in a campaign, log-uniform
    tactics: Tactics = Tactics()
    quiet: Share = 0.0  # teammates that never act together
    bought: Share = 0.0  # accounts that were people's until the campaign begins
    begin_day: Annotated[float, Meta(ge=0.0)] = 0.0  # joint action begins this many days into the stream (ageing)
    crude: Crude = Crude()


class TextSettings(Part, frozen=True, kw_only=True):
    """Where words come from (`texts`)."""

    people: str = "none"  # none, corpus:FILE with people's posts by author, or demo (the project's own)
    machines: str = "none"  # none, corpus:FILE, demo, local:FOLDER, smollm2, or endpoint:ADDRESS#MODEL
    key_env: str = "OPENAI_API_KEY"  # variable that holds the endpoint's key, where it needs one
    personas: str = ""  # file of prompts in the form of `simulation/content/personas.toml`; empty: that one
    max_tokens: Annotated[int, Meta(ge=1, le=4096)] = 100  # of one text of a model
    temperature: Positive = 0.9


class GivenPosts(Part, frozen=True, kw_only=True):
    """Posts that exist before the simulation and are written by its accounts (`content/given.py`)."""

    people: str = "none"  # none, demo, or posts:FILE with post events, which keep their times of day and answers
    machines: str = "none"  # none, demo, or posts:FILE; `campaign` in it is the operator whose account writes the posts
    links: Share = 0.1  # share of people's given posts that get a link, in place of `kinds.links`
    reactions: Positive = 0.6  # likes, reposts and follows that a person's given post brings about, on average


class PopulationConfig(Part, frozen=True, kw_only=True):
    """A whole simulated population: `society.toml`."""

    accounts: Annotated[int, Meta(ge=20, le=5_000_000)] = 5000
    days: Positive = 3.0
    start: str = "2024-03-04T00:00:00Z"
    burn_in_hours: Annotated[float, Meta(ge=0.0)] = 24.0  # acted before the start and not written
    step_minutes: Annotated[float, Meta(ge=1.0, le=240.0)] = 15.0  # acts inside one step see popularity as at its start
    machines: Annotated[float, Meta(ge=0.0, le=0.4)] = 0.05  # share of accounts that operators drive
    campaigns: Annotated[int, Meta(ge=0)] = 0  # at least so many, by making them smaller; 0: as sizes have it
    activity: Activity = Activity()
    kinds: Kinds = Kinds()
    ties: TieSettings = TieSettings()
    links: Links = Links()
    tags: Tags = Tags()
    feed: FeedSettings = FeedSettings()
    news: News = News()
    lookalikes: LookAlikes = LookAlikes()
    operators: tuple[Operator, ...] = ()
    texts: TextSettings = TextSettings()
    given: GivenPosts = GivenPosts()
    controls: bool = (
        True  # every operator's account has a matched control among people: the same parameters, acting with nobody
    )
    about: str = ""  # what this simulated population is for, in words
    easy: bool = False  # its operators are meant to be found by counts alone
