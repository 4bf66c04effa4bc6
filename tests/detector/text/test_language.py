"""Languages: tags brought to their primary part, and detection that would rather say nothing."""

from __future__ import annotations

import pytest

from detector.text.language import detect_language, normalise_language


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


def test_masks_do_not_make_a_text_english() -> None:
    assert detect_language("@user @user c'est une blague ou quoi, il est où le pont ? https://t.co/x") == "fr"
