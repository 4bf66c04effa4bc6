"""What the state machine of `assess` is told from outside; everything else follows from the observation log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from detector.errors import UsageError
from detector.evidence import COMPONENTS, Component
from streaming.config import Config

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

ACCOUNT_TTL_DAYS: Final = 90
"""Days of event time after which a silent account leaves the state with its last score: three half-lives of account
evidence, so that an eighth of it is left to lose, and memory follows live accounts."""

TEXT_TTL_DAYS: Final = 14
"""Days of event time that an account's few texts are kept for alerts (architecture page, privacy): long enough for
a moderator who looks weekly, and no archive."""

_STRUCTURAL: Final = (
    "tick_s",
    "campaign_tick_s",
    "allowed_lateness_s",
    "duplicate_window_s",
    "seed",
    "without",
)


@dataclass(frozen=True, kw_only=True)
class AssessSettings:
    """Settings of `Assess` with the contract's defaults.

    Args:
        target_fpr: share of people that may be flagged within the horizon of the thresholds.
        explicit_fpr: whether somebody asked for that `target_fpr`. A default finer than what the calibration people
            support falls back to the finest they do; an explicit one is refused.
        min_texts: texts with evidence from which on an account may be flagged.
        explicit_min_texts: whether somebody asked for that `min_texts`.
        target_fdr: share of reported groups that may be no coordinated group.
        prior: share of accounts that are LLM-driven; moves posteriors, never flags.
        seed: of every random choice.
        allowed_lateness_s: seconds an event may come after later ones.
        duplicate_window_s: seconds within which the same account and id are one event.
        tick_s: seconds of event time between decisions about accounts.
        campaign_tick_s: the same about groups.
        second_stage_texts_per_s: texts the second-stage model may read per second of event time.
        second_stage_share: of all texts, the share it may read.
        second_stage_far: whether it reads accounts however far they are from the threshold, as with a share of 1.
        second_stage_texts_per_account_h: texts of one account it may read in an hour of event time.
        meaning_texts_per_s: texts that may be read for their meaning per second of event time.
        alert_step_nats: change of evidence that makes a new revision of an alert.
        max_alerts_per_day: account and campaign alerts opened per day of event time; 0 is no limit.
        blind_sample_per_day: accounts that are not flagged and are published each day of event time; 0 for none.
        account_ttl_days: days after which a silent account leaves.
        text_ttl_days: days that texts are kept.
        without: evidence components that are left out everywhere.
    """

    target_fpr: float = 0.01
    explicit_fpr: bool = False
    min_texts: int = 3
    explicit_min_texts: bool = False
    target_fdr: float = 0.05
    prior: float = 0.01
    seed: int = 0
    allowed_lateness_s: int = 60
    duplicate_window_s: int = 3600
    tick_s: int = 60
    campaign_tick_s: int = 600
    second_stage_texts_per_s: float = 1.0
    second_stage_share: float = 1.0
    second_stage_far: bool = False
    second_stage_texts_per_account_h: int = 12
    meaning_texts_per_s: float = 10.0
    alert_step_nats: float = 1.0
    max_alerts_per_day: int = 1000
    blind_sample_per_day: float = 0.0
    account_ttl_days: int = ACCOUNT_TTL_DAYS
    text_ttl_days: int = TEXT_TTL_DAYS
    without: frozenset[Component] = frozenset()

    @classmethod
    def from_config(cls, config: Config, without: Iterable[str] = ()) -> AssessSettings:
        """The settings in a configuration, with the evidence components to leave out.

        Raises:
            UsageError: a component that does not exist.
        """
        components: set[Component] = set()
        for name in without:
            known = next((component for component in COMPONENTS if component == name), None)
            if known is None:
                raise UsageError(f"--without {name!a}: there is no such component; choose from {', '.join(COMPONENTS)}")
            components.add(known)
        return cls(
            target_fpr=config.target_fpr,
            explicit_fpr="target_fpr" in config.given,
            min_texts=config.min_texts,
            explicit_min_texts="min_texts" in config.given,
            target_fdr=config.target_fdr,
            prior=config.prior,
            seed=config.seed,
            allowed_lateness_s=config.allowed_lateness_s,
            duplicate_window_s=config.duplicate_window_s,
            tick_s=config.tick_s,
            campaign_tick_s=config.campaign_tick_s,
            second_stage_texts_per_s=config.second_stage_texts_per_s,
            second_stage_share=config.second_stage_share,
            second_stage_far=config.second_stage_share == 1.0,
            second_stage_texts_per_account_h=config.second_stage_texts_per_account_h,
            meaning_texts_per_s=config.meaning_texts_per_s,
            alert_step_nats=config.alert_step_nats,
            max_alerts_per_day=config.max_alerts_per_day,
            blind_sample_per_day=config.blind_sample_per_day,
            without=frozenset(components),
        )

    @property
    def tick_ms(self) -> int:
        return self.tick_s * 1000

    @property
    def campaign_tick_ms(self) -> int:
        return self.campaign_tick_s * 1000

    @property
    def duplicate_window_ms(self) -> int:
        return self.duplicate_window_s * 1000

    def structure(self) -> dict[str, str]:
        """The settings that a snapshot cannot outlive: another value makes another history."""
        return {name: str(sorted(value) if isinstance(value := getattr(self, name), frozenset) else value)
                for name in _STRUCTURAL}  # fmt: skip
