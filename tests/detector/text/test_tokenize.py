"""Words, n-grams, style, sketches and MinHash on texts small enough to count by hand.

Languages: tags brought to their primary part, and detection that would rather say nothing.

One typography for all: nothing of where a text came from is left.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import LanguageIdentifier

from detector.errors import UsageError
from detector.text import tokenize
from detector.text.features import (
    BUCKETS,
    FOR_TEXT,
    MINHASH_DIM,
    RARITIES,
    SKETCH_DIM,
    STYLE_DIM,
    STYLE_NAMES,
    char_hashes,
    entries,
    minhashes,
    sketches,
    styles,
    sums,
)
from detector.text.tokenize import (
    TEXT_CUT,
    among,
    detect_language,
    detected,
    encode,
    hash_words,
    normalise,
    normalise_language,
    settle_language,
)

EVEN = np.ones(RARITIES, dtype=np.uint8)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("one", 1), ("don't stop", 2), ("'quoted' words", 2), ("a-b c_d", 4), ("\u6771\u4eac", 2), ("h2o 3", 2)],
)
def test_words_are_runs_of_letters_and_digits(text: str, count: int) -> None:
    assert encode([text]).word_counts.tolist() == [count]


def test_a_word_hashes_alike_wherever_it_stands() -> None:
    encoded = encode(["the cat", "CAT", "a fat cat sat"])
    cat = hash_words(["cat"])
    assert among(encoded.word_hash, cat).tolist() == [False, True, True, False, False, True, False]


def test_character_ngrams_stay_within_words_and_texts() -> None:
    # " ab cd ": of two " a" "ab" "b " " c" "cd" "d ", of three " ab" "ab " " cd" "cd ", of four " ab " " cd ".
    encoded = encode(["ab cd", "x"])
    counts = [int(char_hashes(encoded, size)[1][: encoded.ends[0]].sum()) for size in (2, 3, 4, 5)]
    assert counts == [6, 4, 2, 0]


@given(st.lists(st.text(alphabet="abc d.'", max_size=12), min_size=1, max_size=5))
@settings(max_examples=50)
def test_training_entries_and_run_time_sums_are_the_same_numbers(texts: list[str]) -> None:
    weights = np.arange(BUCKETS, dtype=np.int32) % 1001 - 500
    encoded = encode(texts)
    owner, bucket, value = entries(encoded)
    by_entries = np.bincount(owner, weights=value * weights[bucket], minlength=len(texts))
    chars, words = sums(encoded, weights)
    np.testing.assert_allclose(by_entries, chars + words, rtol=1e-5, atol=1e-2)


def test_style_counts_what_its_names_say() -> None:
    names = {name: index for index, name in enumerate(STYLE_NAMES)}
    calm, loud = styles(encode(["The cat sat on the mat.", "OMG!!! u NEVER listen, lol"])).astype(float)
    assert calm[names["starts_upper"]] == 1
    assert calm[names["ends_with_stop"]] == 1
    assert loud[names["ends_with_stop"]] == 0
    assert calm[names["distinct_words"]] == pytest.approx(5 / 6, abs=1e-3)
    assert calm[names["small_words"]] == pytest.approx(3 / 6, abs=1e-3)
    assert loud[names["shouted_words"]] == pytest.approx(2 / 5, abs=1e-3)
    assert loud[names["chat_words"]] > 0
    assert loud[names["exclamations"]] == 1
    assert loud[names["commas"]] == pytest.approx(4 / 5, abs=1e-3)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_style_is_bounded_and_silent_without_words(texts: list[str]) -> None:
    encoded = encode([" ".join(text.split()) for text in texts])
    style = styles(encoded)
    assert style.shape == (len(texts), STYLE_DIM)
    assert ((style >= 0) & (style <= 1)).all()
    assert not style[encoded.word_counts == 0].any()


def test_the_text_model_is_blind_to_lengths_case_and_the_final_stop() -> None:
    blind = {name for name, used in zip(STYLE_NAMES, FOR_TEXT, strict=True) if not used}
    texts = ["The Cat sat on THE mat. It sat there.", "the cat sat on the mat. it sat there"]
    tidy, lazy = styles(encode(texts)).astype(float)[:, FOR_TEXT]
    assert {"log_words", "upper_letters", "ends_with_stop"} <= blind
    np.testing.assert_allclose(tidy[tidy != lazy], lazy[tidy != lazy], atol=0.51)
    assert (tidy != lazy).sum() <= 1  # the full stops' share alone


def test_sketches_of_like_texts_are_alike() -> None:
    texts = ["the cat sat on the mat today", "the cat sat on the mat now", "quantum flux exceeds 9000 volts!"]
    sketch = sketches(encode(texts), EVEN).astype(float) / 127
    assert sketch.shape == (3, SKETCH_DIM)
    np.testing.assert_allclose(np.linalg.norm(sketch, axis=1), 1, atol=0.03)
    assert sketch[0] @ sketch[1] > 0.7 > 0.5 > sketch[0] @ sketch[2]


def test_a_rare_word_weighs_more_in_a_sketch() -> None:
    texts = ["common zebra", "common lemon"]
    rarity = EVEN.copy()
    even = sketches(encode(texts), rarity).astype(float)
    shared = encode(["common"])
    rarity[:] = 100
    hashes, valid = char_hashes(shared, 3)
    rarity[(np.concatenate([hashes[valid], shared.word_hash]) & np.uint64(0xFFFF)).astype(int)] = 1
    rare = sketches(encode(texts), rarity).astype(float)
    assert rare[0] @ rare[1] < even[0] @ even[1]


def test_minhash_ignores_case_and_punctuation_and_tells_near_duplicates() -> None:
    base = "breaking news the harbour bridge is closed to all traffic until further notice tonight"
    texts = [
        base,
        base.upper() + "!!!",
        base.replace("tonight", "today"),
        "an unrelated sentence about baking bread at home",
    ]
    values = minhashes(encode(texts))
    same = [(values[0] == row).mean() for row in values]
    assert same[0] == same[1] == 1
    assert 0.4 < same[2] < 1
    assert same[3] == 0


@pytest.mark.parametrize(("text", "filled"), [("", False), ("?!", False), ("one", True), ("one two", True)])
def test_texts_without_a_shingle_are_one_shingle(text: str, filled: bool) -> None:
    values = minhashes(encode([text, "three words here"]))
    assert values.shape == (2, MINHASH_DIM)
    assert bool(values[0].any()) == filled
    assert values[1].any()


def test_minhash_agreement_estimates_jaccard_similarity() -> None:
    rng = np.random.default_rng(5)
    words = ["".join(letters) for letters in product("abcdefghijk", repeat=3)]
    errors = []
    for _ in range(60):
        start = int(rng.integers(0, 1000))
        left, right = words[start : start + 42], words[start + 10 : start + 52]
        values = minhashes(encode([" ".join(left), " ".join(right)]))
        errors.append((values[0] == values[1]).mean() - 30 / 50)  # 40 shingles each, 30 shared
    assert abs(np.mean(errors)) < 0.08


@pytest.mark.parametrize(
    ("tag", "primary"),
    [
        ("en", "en"), ("pt-BR", "pt"), ("zh-Hant-TW", "zh"), ("EN_us", "en"), ("fra", "fr"), ("iw", "he"),
        ("und", ""), ("", ""), ("qme", ""), ("e", ""), ("english language", ""), ("e\u0144", ""), ("123", ""),
        ("en-", ""),
    ],
)  # fmt: skip
def test_tags_become_their_primary_part_or_nothing(tag: str, primary: str) -> None:
    assert normalise_language(tag) == primary


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("I can't believe that they closed the bridge again, what is going on with this city?", "en"),
        ("Je ne comprends pas pourquoi ils ont encore fermé le pont, c'est vraiment n'importe quoi", "fr"),
        ("Ich verstehe nicht, warum die Brücke schon wieder gesperrt ist, das ist doch verrückt", "de"),
        ("No entiendo por qué cerraron otra vez el puente, es una locura de verdad", "es"),
        ("لا أفهم لماذا أغلقوا الجسر مرة أخرى", "ar"),
        ("@user https://t.co/abc RT", ""),
        ("haha", ""),
        ("12:45 7-0", ""),
        ("", ""),
    ],
)
def test_the_language_of_plain_posts_is_found_and_of_noise_not(text: str, lang: str) -> None:
    assert detect_language(text) == lang


UNSURE = "sup shifty purty barata doksa venta mi casa"
"""A text that no language is sure of."""


def test_what_was_declared_chooses_among_plausible_languages_that_can_be_read_and_does_nothing_else() -> None:
    sure, plausible = detected(UNSURE)
    assert sure == ""
    assert len(plausible) > 1
    first, second = plausible[:2]
    assert settle_language(UNSURE, "", {first, second}) == first
    assert settle_language(UNSURE, second, {first, second}) == second
    assert settle_language(UNSURE, second, {first}) == first, "what nothing reads silences nothing"
    assert settle_language(UNSURE, "zh", {"zh", first}) == first, "what is not plausible changes nothing"
    assert settle_language(UNSURE, "zh", {"zh"}) == "", "and creates nothing"


def test_a_sure_language_is_not_argued_with() -> None:
    text = "No entiendo por qué cerraron otra vez el puente, es una locura de verdad"
    assert {settle_language(text, tag, {"en", "fr"}) for tag in ("en", "fr", "cy", "", "es")} == {"es"}


@pytest.mark.parametrize("text", ["", "haha", "12:45 7-0"])
def test_noise_is_in_no_language_whatever_was_declared(text: str) -> None:
    assert settle_language(text, "en", {"en"}) == ""


def test_masks_do_not_make_a_text_english() -> None:
    assert detect_language("@user @user c'est une blague ou quoi, il est où le pont ? https://t.co/x") == "fr"


@pytest.mark.parametrize(
    "text",
    [
        "so it goes",
        "so it goes https://t.co/AbC123",
        "so it goes http",
        "so it goes https",
        "@user so it goes",
        "@some_one: so it goes",
        "@user @user so  it\n\ngoes www.example.com/x?y=1",
        "so it goes <URL>",
        "so it goes [url]",
        "so it goes HTTPURL",
        "{@CNN@} so it goes",
        "{{USERNAME}} so it goes {{URL}}",
        "RT @user: so it goes",
        "so it goes pic.twitter.com/abc",
        "so it goes \U0001f389\U0001f389",
        "so it goes \u2764\ufe0f",
        "so it goes ?? ",
        "so it goes \ufffd",
        "so it\u200b goes",
        "so\u00a0it goes",
        r"so it goes\n\n",
        r"so it goes \ud83d\ude00",
        '"so it goes"',
        "so it goes truncat\u2026",
        "so it goes truncat\u2026 https://t.co/AbC123",
    ],
)
def test_marks_of_a_platform_or_a_data_set_leave_no_trace(text: str) -> None:
    assert normalise(text) == "so it goes"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("I\u2019m \u201chere\u201d \u2013 now", 'I\'m "here" - now'),
        ("Tom &amp;amp; Ann &lt;3", "Tom & Ann <3"),
        (r"don\u2019t", "don't"),
        ("quoi ? non !", "quoi? non!"),
        ("too . many . gaps , here .", "too. many. gaps, here."),
        ("nooooooo!!!!!!", "nooo!!!"),
        ("\uff28\uff45\uff4c\uff4c\uff4f", "Hello"),
        ("see [the page](https://x.org/a_(b)) there", "see the page) there"),
        ("Keep #Tags and CASE", "Keep #Tags and CASE"),
        ("mail me at a http server", "mail me at a server"),
        ("", ""),
        ("@user https://t.co/x \U0001f600", ""),
    ],
)
def test_words_case_and_punctuation_stay(text: str, clean: str) -> None:
    assert normalise(text) == clean


@pytest.mark.parametrize("length", [140, 280, 500, 900])
def test_a_word_cut_in_the_middle_goes(length: int) -> None:
    text = ("word " * 300)[: length - 3] + "wor"
    assert set(normalise(text).split()) == {"word"}


def test_only_the_part_the_log_keeps_is_read() -> None:
    text = "a word or two. " * 80
    assert normalise(text) == normalise(text[: TEXT_CUT + 1]) == normalise(text[:TEXT_CUT])


@given(st.text(max_size=700))
def test_any_text_becomes_one_line_of_bounded_length_without_controls(text: str) -> None:
    clean = normalise(text)
    assert len(clean) <= TEXT_CUT
    assert clean == clean.strip()
    assert "  " not in clean
    assert not re.search("[\u2018\u2019\u201c\u201d\u2013\u2014]", clean)
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "So"} for char in clean)


@given(st.text(alphabet="ab @#&;\\?.!-'\"/:htpuserRT\u2026\u200b\ufffd", max_size=80))
def test_what_is_normal_hardly_changes_again(text: str) -> None:
    once = normalise(text)
    assert len(normalise(once)) <= len(once)


def test_a_disk_without_room_for_the_language_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LanguageIdentifier, "from_model_file", full)
    monkeypatch.setattr(tokenize, "_identifier", tokenize._identifier.__wrapped__)
    with pytest.raises(UsageError, match=r"a file of some megabytes in .*No space left on device; .*TMPDIR"):
        settle_language("nobody knows in which language this might be", "", ("en", "de"))
