"""Post events: every sentence of the contract about one record."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detector.errors import EventError
from detector.times import AT_MAX
from streaming.schema.entities import LIST_KEPT, OBJECT_CUT
from streaming.schema.event import KINDS, NAME_BYTES, TEXT_BYTES, Event, Profile, parse
from streaming.schema.observation import Kind
from tests.streaming.builders import T0, event, record

HOSTILE = "s3cr3t\x1b[31m"


def read(item: dict[str, Any] | bytes, now_ms: int = T0) -> Event:
    return parse(record(item), now_ms=now_ms)


def why(item: dict[str, Any] | bytes, now_ms: int = T0) -> tuple[str, str]:
    """Field and reason of a dead record."""
    with pytest.raises(EventError) as caught:
        read(item, now_ms)
    return caught.value.field, caught.value.reason


def test_the_smallest_event() -> None:
    assert read({"id": "1", "account": "ann", "at": T0, "kind": "post"}) == Event("1", "ann", T0, Kind.POST)


def test_an_event_with_everything() -> None:
    full = event(
        "ann",
        at="2026-01-01T01:00:00.5+01:00",
        kind="quote",
        text="Look",
        lang="pt-BR",
        target="t",
        target_account="bob",
        mentions=["@cy"],
        urls=["HTTPS://www.Example.com/a/?utm_source=x#top"],
        hashtags=["#Tag"],
        profile={
            "name": "Ann", "bio": "b", "location": "l", "created_at": "2020-01-01T00:00:00Z",
            "followers": 1, "following": 2, "posts": 3, "automated": True,
        },
        v=1,
    )  # fmt: skip
    assert read(full, now_ms=T0 + 1000) == Event(
        id="ann-2026-01-01T01:00:00.5+01:00",
        account="ann",
        at=T0 + 500,
        kind=Kind.QUOTE,
        text="Look",
        lang="pt",
        target="t",
        target_account="bob",
        mentions=("cy",),
        urls=("https://example.com/a",),
        hashtags=("tag",),
        profile=Profile("Ann", "b", "l", 1_577_836_800_000, 1, 2, 3, True),
    )


@pytest.mark.parametrize("kind", [kind.name.lower() for kind in Kind])
def test_every_kind_of_the_contract_is_read(kind: str) -> None:
    assert read(event(kind=kind)).kind is KINDS[kind]


@pytest.mark.parametrize("kind", ["Post", "retweet", "", HOSTILE])
def test_an_unknown_kind_is_dead(kind: str) -> None:
    assert why(event(kind=kind)) == (
        "kind",
        "is none of post, reply, repost, quote, like, follow, delete, delete_account",
    )


OPTIONAL = ["text", "lang", "target", "target_account", "mentions", "urls", "hashtags", "profile", "v"]


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_means_absent(field: str) -> None:
    assert read(event() | {field: None}) == read(event())


@pytest.mark.parametrize("field", Profile.__struct_fields__)
def test_null_means_absent_in_profiles_too(field: str) -> None:
    assert read(event(profile={field: None})).profile == Profile()


@pytest.mark.parametrize("field", ["id", "account", "at", "kind"])
def test_a_required_field_that_is_missing_or_null_is_dead(field: str) -> None:
    without = {name: value for name, value in event().items() if name != field}
    assert why(without) == why(without | {field: None}) == (field, "is missing")


@pytest.mark.parametrize("field", ["id", "account"])
def test_empty_names_are_dead(field: str) -> None:
    assert why(event() | {field: ""}) == (field, "is empty")


def test_unknown_fields_are_ignored() -> None:
    assert read(event() | {"x": {"deep": [1, None, 10**400, "ü"]}, "": 0, "ID": 5}) == read(event())


def test_of_a_repeated_field_the_last_counts() -> None:
    line = record(event())[:-1]
    assert read(line + b',"id":"second"}').id == "second"
    assert why(line + b',"id":null}') == ("id", "is missing")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", 1, "is of type int, not a string"),
        ("account", ["a"], "is of type array, not a string"),
        ("account", True, "is of type bool, not a string"),
        ("at", True, "is of type bool, not string or integer"),
        ("at", 1.0, "is of type float, not string or integer"),
        ("at", {}, "is of type object, not string or integer"),
        ("kind", 0, "is of type int, not a string"),
        ("text", False, "is of type bool, not a string"),
        ("target", 7, "is of type int, not a string"),
        ("target_account", 7, "is of type int, not a string"),
        ("mentions", "a", "is of type str, not a list"),
        ("urls", {"a": 1}, "is of type object, not a list"),
        ("profile", [], "is of type array, not an object"),
        ("v", True, "is of type bool, not an integer"),
        ("v", "1", "is of type str, not an integer"),
        ("v", 1.0, "is of type float, not an integer"),
        ("v", 2, "is not 1, the only version there is"),
        ("v", 0, "is not 1, the only version there is"),
        ("v", 10**400, "is not 1, the only version there is"),
    ],
)
def test_a_value_of_the_wrong_type_is_dead(field: str, value: object, reason: str) -> None:
    assert why(event() | {field: value}) == (field, reason)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (event(mentions=["a", 1]), "mentions[1]"),
        (event(urls=[True]), "urls[0]"),
        (event(hashtags=["a", "b", None]), "hashtags[2]"),
        (event(profile={"followers": True}), "profile.followers"),
        (event(profile={"posts": 1.5}), "profile.posts"),
        (event(profile={"automated": 1}), "profile.automated"),
        (event(profile={"name": 5}), "profile.name"),
        (event(profile={"created_at": True}), "profile.created_at"),
        (event(profile={"following": 2**63}), "profile.following"),
    ],
)
def test_the_field_path_leads_into_lists_and_profiles(item: dict[str, Any], field: str) -> None:
    assert why(item)[0] == field


@pytest.mark.parametrize("number", ["1" + "0" * 5000, "1e999", "-1e999", "123456789012345678901234567890"])
def test_numbers_of_any_size_are_dead_and_not_a_crash(number: str) -> None:
    assert why(record(event(at="@@")).replace(b'"@@"', number.encode()))[0] == "at"


@pytest.mark.parametrize(
    "line",
    [
        b"", b" \r\n", b"nonsense", b'{"id": ', b'{"id":"1"} {}', b"{'id': 1}", b'{"a":NaN}', b'{"a":Infinity}',
        b'{"a":01}', b'{"a":"\t"}', b'{"a":1,}', b'{"a":"\\x41"}', b'{"a":tru}', b'\xef\xbb\xbf{"id":"1"}', b"\x00",
        b'{"id":"\xff"}', b'{"x":"\xff"}', b'{"\xc3":1}', b'{"id":"\xed\xa0\x80"}', b'{"x":"\xc0\x80"}',
        '{"id":"1"}'.encode("utf-16"), b"\x1f\x8b\x08\x00",
    ],
)  # fmt: skip
def test_what_is_not_json_is_dead_as_a_whole(line: bytes) -> None:
    assert why(line)[0] == ""


@pytest.mark.parametrize("line", [b"null", b"true", b"1", b'"{}"', b"[]", b'[{"id":"1"}]'])
def test_json_that_is_no_object_is_dead(line: bytes) -> None:
    field, reason = why(line)
    assert field == ""
    assert reason.startswith("is not a JSON object")


def test_white_space_around_a_record_does_no_harm() -> None:
    assert read(b"\r\n\t " + record(event()) + b" \r\n") == read(event())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"lang":', b'{"profile":{"name":'])
def test_deep_nesting_is_dead_and_does_not_exhaust_the_stack(opening: bytes) -> None:
    assert why(b'{"x":' + opening * 50_000) == ("", "is nested deeper than 64")


def test_brackets_within_strings_and_beside_each_other_are_no_depth() -> None:
    assert read(event(text="[" * 1000, extra=[[]] * 1000)).text == "[" * 1000


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"text":"\\ud800"}', "text"),
        (b'{"text":"\\uDFFFabc"}', "text"),
        (b'{"id":"x\\ud83dy"}', "id"),
        (b'{"account":"\\udc00\\ud800"}', "account"),
        (b'{"lang":"\\ud800"}', "lang"),
        (b'{"mentions":["a","\\ud800"]}', "mentions[1]"),
        (b'{"profile":{"bio":"\\ud800"}}', "profile.bio"),
        (b'{"profile":{"other":"\\ud800"}}', "profile"),
        (b'{"other":["\\ud800"]}', ""),
        (b'{"\\ud800":1}', ""),
    ],
)
def test_lone_surrogates_are_dead_wherever_they_are(line: bytes, field: str) -> None:
    if line.startswith(b"{"):
        line = line[:-1] + b"," + record(event())[1:] if field in ("", "profile", "lang") else line
    assert why(line) == (field, "holds a lone surrogate, which is no character")


def test_a_pair_of_surrogates_is_a_character_and_an_escaped_backslash_is_none() -> None:
    line = record(event(text="@@"))
    assert read(line.replace(b"@@", b"\\ud83d\\ude00")).text == "\U0001f600"
    assert read(line.replace(b"@@", b"\\\\ud800")).text == "\\ud800"


def test_nul_and_other_controls_are_characters() -> None:
    assert read(record(event()).replace(b'"ann"', b'"a\\u0000n"')).account == "a\x00n"


@pytest.mark.parametrize("letter", ["a", "é", "字", "\U0001f600"])
def test_text_may_have_64_kib_of_utf8_and_not_a_byte_more(letter: str) -> None:
    fits = letter * (TEXT_BYTES // len(letter.encode()))
    fits += "a" * (TEXT_BYTES - len(fits.encode()))
    assert read(event(text=fits)).text == fits
    assert not read(event(text=fits)).text_cut
    for more in ("a", "é", "\U0001f600" * 9):
        assert (read(event(text=fits + more)).text, read(event(text=fits + more)).text_cut) == (fits, True)
    shifted = read(event(text="a" + fits)).text
    assert shifted.encode() == ("a" + fits).encode()[: len(shifted.encode())], "no character is cut in two"
    assert TEXT_BYTES - 4 < len(shifted.encode()) <= TEXT_BYTES
    escaped = record(event(text="@@")).replace(b"@@", json.dumps(fits)[1:-1].encode())
    assert read(escaped).text == fits, "escapes do not count"


def test_a_text_that_is_cut_gives_its_whole_links() -> None:
    text = "see https://example.org/a " + "x" * (TEXT_BYTES - 60) + " https://example.org/" + "b" * 60
    cut = read(event(text=text))
    assert cut.text_cut
    assert cut.urls == read(event(text="see https://example.org/a")).urls
    assert cut.urls


@pytest.mark.parametrize("field", ["id", "account", "target", "target_account"])
def test_names_have_a_longest_length(field: str) -> None:
    longest = "é" * (NAME_BYTES // 2)
    assert getattr(read(event() | {field: longest}), field) == longest
    assert why(event() | {field: longest + "a"}) == (field, "is longer than 1024 bytes of UTF-8")


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000\u00a0", "\u200b\u200d\ufeff", "\x00\x1f"])
def test_blank_text_counts_as_none(text: str) -> None:
    assert read(event(text=text)) == read(event())


@pytest.mark.parametrize("text", [" a", ".", "\u200bx", "\U0001f600", "\u0301", "٣"])
def test_text_with_anything_to_see_is_kept_as_it_is(text: str) -> None:
    assert read(event(text=text)).text == text


@pytest.mark.parametrize(
    "lang", ["", "e", "english language", "12", "en_", "\n", 5, True, ["en"], {"a": 1}, "und", HOSTILE]
)
def test_an_invalid_language_counts_as_absent(lang: object) -> None:
    assert read(event(lang=lang)).lang == ""


@pytest.mark.parametrize(("lang", "primary"), [("en", "en"), ("EN-us", "en"), ("zh-Hant-TW", "zh"), ("yue", "yue")])
def test_of_a_language_the_primary_subtag_is_kept(lang: str, primary: str) -> None:
    assert read(event(lang=lang)).lang == primary


def test_lists_are_taken_from_the_text_only_where_absent() -> None:
    text = "See https://a.example/x #One @two"
    taken = read(event(text=text))
    assert (taken.urls, taken.hashtags, taken.mentions) == (("https://a.example/x",), ("one",), ("two",))
    assert read(event(text=text, urls=None, hashtags=None, mentions=None)) == taken
    empty = read(event(text=text, urls=[], hashtags=[], mentions=[]))
    assert (empty.urls, empty.hashtags, empty.mentions) == ((), (), ())
    other = read(event(text=text, urls=["https://b.example"]))
    assert (other.urls, other.hashtags) == (("https://b.example",), ("one",))


def test_lists_are_distinct_canonical_and_bounded() -> None:
    many = read(
        event(hashtags=["", " ", "#A", "a", "＃Ａ"] + [f"t{i}" for i in range(1000)], urls=["http://a.b/" + "x" * 5000])
    )
    assert many.hashtags[:2] == ("a", "t0")
    assert len(many.hashtags) == LIST_KEPT
    assert len(many.urls[0]) == OBJECT_CUT


def test_empty_targets_count_as_absent() -> None:
    assert read(event(target="", target_account="")) == read(event())


@pytest.mark.parametrize("created", ["yesterday", "2020-01-01", -1, 10**30, None])
def test_an_unreadable_time_in_a_profile_counts_as_absent(created: object) -> None:
    assert read(event(profile={"created_at": created})).profile == Profile()


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00Z",
        "20260101T000000Z", "2026-W01-1T00:00:00Z", "2026-1-1T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T12:00:60Z",
        "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60",
        "0000-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n",
        "２０２６-01-01T00:00:00Z", "1767225600000", "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00 Z",
    ],
)  # fmt: skip
def test_what_is_no_time_with_offset_is_dead(text: str) -> None:
    assert why(event(at=text), now_ms=AT_MAX) == (
        "at",
        "is not a time of RFC 3339 with offset, such as 2026-01-31T08:00:00Z",
    )


@pytest.mark.parametrize(
    "at",
    [
        -(10**12),
        AT_MAX + 1,
        10**18,
        10**30,
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00Z",
    ],
)
def test_times_out_of_range_are_dead(at: object) -> None:
    assert why(event() | {"at": at}, now_ms=AT_MAX) == (
        "at",
        "is out of range: not between 1970 and 9999 in milliseconds since 1970",
    )


def test_the_range_includes_its_ends() -> None:
    assert read(event() | {"at": 0}).at == 0
    assert read(event() | {"at": AT_MAX}, now_ms=AT_MAX).at == AT_MAX


def test_an_event_may_be_300_s_ahead_of_its_record_and_not_more() -> None:
    assert read(event(at=300_000)).at == T0 + 300_000
    assert why(event(at=300_001)) == ("at", "is more than 300 s after the record was written")


@pytest.mark.parametrize(
    "item",
    [
        {HOSTILE: HOSTILE},
        event(kind=HOSTILE),
        event(at=HOSTILE),
        event(v=31337_31337),
        event(mentions={HOSTILE: 1}),
        event(profile={"name": {HOSTILE: HOSTILE}}),
        record(event(text=HOSTILE))[:-1],
    ],
)
def test_the_reason_never_repeats_what_the_record_says(item: dict[str, Any] | bytes) -> None:
    said = " ".join(why(item))
    assert "s3cr3t" not in said
    assert "31337" not in said
    assert said.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
odd_events = st.dictionaries(
    st.sampled_from(["id", "account", "at", "kind", *OPTIONAL, "other"]),
    json_values | st.sampled_from(["post", "2026-01-01T00:00:00Z", T0, "en", {"automated": True}]),
)


def never_crashes(line: bytes) -> None:
    found: Event | EventError
    try:
        found = parse(line, now_ms=T0)
    except EventError as error:
        found = error
    if isinstance(found, EventError):
        assert found.reason
        assert found.field.split("[")[0].split(".")[0] in ("", "id", "account", "at", "kind", *OPTIONAL)
    else:
        assert found.id
        assert found.account
        assert 0 <= found.at <= T0 + 300_000
        msgspec.json.encode(found)


@settings(max_examples=150)
@given(st.binary(max_size=200))
@example(b'{"id":"1","account":"a","at":0,"kind":"post","text":"\xf4\x90\x80\x80"}')
def test_no_bytes_crash_it(line: bytes) -> None:
    never_crashes(line)


@settings(max_examples=250)
@given(odd_events, st.booleans())
def test_no_json_crashes_it(item: dict[str, Any], ascii_only: bool) -> None:
    never_crashes(json.dumps(event() | item, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))


@settings(max_examples=150)
@given(st.data())
def test_no_damage_to_a_good_record_crashes_it(data: st.DataObject) -> None:
    line = bytearray(record(event(text="Hé #tag @you http://a.b/c", profile={"followers": 5}, mentions=["x"])))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(line) - 1))
        line[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    never_crashes(bytes(line))


characters = st.characters(exclude_categories=["Cs"])
names = st.text(characters, min_size=1, max_size=40)
words = st.lists(st.text(characters, max_size=30), max_size=5)
valid_events = st.fixed_dictionaries(
    {"id": names, "account": names, "at": st.integers(0, T0 + 300_000), "kind": st.sampled_from(list(KINDS))},
    optional={
        "text": st.text(characters, max_size=300),
        "lang": st.sampled_from(["en", "fr-CA", "xx invalid"]),
        "target": names,
        "target_account": names,
        "mentions": words,
        "urls": words | st.lists(names.map(lambda rest: "https://www.Example.org/" + rest), max_size=3),
        "hashtags": words,
        "profile": st.fixed_dictionaries({}, optional={"name": names, "posts": st.integers(0, 10**9)}),
        "v": st.just(1),
    },
)


@settings(max_examples=150)
@given(valid_events)
def test_what_is_read_and_written_again_reads_the_same(item: dict[str, Any]) -> None:
    once = read(item)
    assert (once.id, once.account, once.at, once.kind) == (item["id"], item["account"], item["at"], KINDS[item["kind"]])
    again = msgspec.to_builtins(once) | {"kind": once.kind.name.lower()}
    assert read(again) == once
