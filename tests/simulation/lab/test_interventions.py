"""Policies as files: what they may say, and where a message points when they say something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import ConfigError
from simulation.lab.interventions import (
    Assumed,
    concerning,
    line_of,
    parse_policy,
    read_policies,
    shipped_policies,
)
from simulation.lab.live_detector import Finding
from simulation.lab.outcomes import outcome
from simulation.lab.trial_society import SocietySettings


def test_every_measure_ships_and_one_policy_does_nothing() -> None:
    policies = shipped_policies()
    assert {policy.measure for policy in policies} == {
        "nothing", "label", "downrank", "rate-limit", "friction", "verify", "remove",
    }  # fmt: skip
    assert [policy.name for policy in policies if policy.idle] == ["nothing"]
    assert len(policies) >= 8
    assert all(policy.about for policy in policies)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"\nmeasure = "remove"\ndelay_hours = -1\n', "a.toml:3: `delay_hours`"),
        ('name = "a"\nmeasure = "delete"\n', "a.toml:2: `measure`"),
        ('name = "a"\nmeasure = "remove"\n\n[review]\nhours_per_day = 25\n', "a.toml:5: `review.hours_per_day`"),
        ('name = "a"\nmeasure = "remove"\n[review]\nhours = 2\n', "unknown field `hours`"),
        ('name = "a"\nmeasure = "nothing"\n[feed]\nalgorithm = "outrage"\n', "a.toml:4: `feed.algorithm`"),
        ('name = "a"\n', "missing required field `measure`"),
        ("name = \n", "not TOML"),
    ],
)
def test_a_policy_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_policies([tmp_path / "a.toml"])
    assert said in str(refused.value)


def test_an_unknown_key_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"p\.toml:4"):
        parse_policy('name = "a"\nmeasure = "remove"\n[review]\nhours = 2\n', "p.toml")


def test_what_does_not_concern_a_policy_changes_nothing_of_what_it_does() -> None:
    other = Assumed(label=0.9, catches=0.1, spares=0.2, people_verify=0.3, machines_verify=0.9, verify_hours=1.0)
    trial = SocietySettings(accounts=90, days=0.45)
    named = [Finding(1_709_510_400_000, "campaign", "c", tuple(range(40)))]
    policies = shipped_policies()
    assert len(policies) > 8
    for policy in policies:
        same = concerning(policy, other)
        concerned = policy.measure in ("label", "verify") or policy.review is not None
        assert (same != Assumed()) == concerned
        if policy.name in ("verify", "remove-reviewed"):
            made = [outcome(trial, 0, policy, named, assumed) for assumed in (other, same, Assumed())]
            assert made[0] == made[1]
            assert (made[1] != made[2]) == concerned


def test_a_file_that_is_away_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_policies([tmp_path / "none.toml"])
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('name = "same"\nmeasure = "label"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="two policies are named same"):
        read_policies([tmp_path / "a.toml", tmp_path / "b.toml"])
    (tmp_path / "latin.toml").write_bytes('name = "ä"'.encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_policies([tmp_path / "latin.toml"])


def test_lines_of_keys_in_tables_and_outside() -> None:
    text = 'a = 1\n[review]\na = 2\n"b" = 3\n'
    assert [line_of(text, key) for key in ("a", "review.a", "review.b", "review", "c")] == [1, 3, 4, 2, None]
