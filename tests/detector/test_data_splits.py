"""Everybody serves one purpose, and a pseudonym shows nobody."""

from __future__ import annotations

from collections import Counter

from detector.data_splits import pseudonym, role_of, split_of


def test_roles_are_dealt_out_as_said_and_never_change() -> None:
    roles = Counter(split_of("chitchat", f"person-{number}") for number in range(2000))
    assert roles["train"] > 400
    assert 800 < roles["calibrate"] < 1200
    assert roles["demo"] > 300
    assert split_of("chitchat", "a") == split_of("chitchat", "a")


def test_whom_the_demo_keeps_of_one_population_measures_of_another() -> None:
    for number in range(50):
        split, role = split_of("irc", f"person-{number}"), role_of("irc", f"person-{number}")
        assert role == ("measure" if split == "demo" else split)


def test_another_population_is_dealt_anew() -> None:
    names = [f"person-{number}" for number in range(200)]
    assert [split_of("a", name) for name in names] != [split_of("b", name) for name in names]


def test_a_pseudonym_is_stable_and_does_not_show_the_name() -> None:
    assert pseudonym("alice") == pseudonym("alice") != pseudonym("bob")
    assert "alice" not in pseudonym("alice")
    assert len(pseudonym("\ud800")) == 12
