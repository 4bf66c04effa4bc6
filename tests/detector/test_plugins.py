"""Extension points: what is installed is found by name, and what is wrong with it is said."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from detector import plugins
from detector.errors import SwarmlightError, UsageError


def install(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str], group: str = plugins.SINKS) -> None:
    found = EntryPoints([EntryPoint(name, value, group) for name, value in entries])
    monkeypatch.setattr(plugins, "entry_points", lambda group: found.select(group=group))


@pytest.mark.parametrize(
    ("group", "names"),
    [
        (plugins.SOURCES, {"events"}),
        (plugins.SINKS, {"jsonl", "kafka"}),
        (plugins.TEXT_MODELS, {"minilm", "huggingface"}),
        (plugins.COMMANDS, {"run", "worker", "feed", "train"}),
    ],
)
def test_what_is_shipped_uses_the_same_groups(group: str, names: set[str]) -> None:
    assert names <= set(plugins.installed(group))
    assert all(plugins.load(group, name) is not None for name in names)


def test_names_are_in_order_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("b", "no.such.module:x"), ("a", "os.path:join"))
    assert list(plugins.installed(plugins.SINKS)) == ["a", "b"]
    assert plugins.installed(plugins.SOURCES) == {}


def test_one_thing_listed_twice_is_one_and_two_under_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("a", "os.path:join"), ("a", "os.path:join"))
    assert list(plugins.installed(plugins.SINKS)) == ["a"]
    install(monkeypatch, ("a", "os.path:join"), ("a", "os.path:split"))
    with pytest.raises(UsageError, match="two packages install the sink 'a'"):
        plugins.installed(plugins.SINKS)


def test_an_unknown_name_names_the_nearest_or_all(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("webhook", "os.path:join"), ("file", "os.path:join"))
    with pytest.raises(UsageError, match=r"no sink 'webhok': did you mean webhook\?"):
        plugins.load(plugins.SINKS, "webhok")
    with pytest.raises(UsageError, match="installed are file, webhook"):
        plugins.load(plugins.SINKS, "x\x1b")
    with pytest.raises(UsageError, match="no input format 'x': installed are none"):
        plugins.load(plugins.SOURCES, "x")


@pytest.mark.parametrize("value", ["no.such.module:x", "os.path:no_such_name"])
def test_what_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install(monkeypatch, ("a", value))
    with pytest.raises(SwarmlightError, match=f"'a' of package .* cannot be imported from {value}"):
        plugins.load(plugins.SINKS, "a")
