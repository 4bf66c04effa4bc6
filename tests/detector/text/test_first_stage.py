"""The first-stage model: what it abstains from, and that no text's features depend on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detector
from detector.errors import ModelError
from detector.text import first_stage
from detector.text.features import TEXT_FEATURES, TextAbstain
from detector.text.first_stage import FirstStageModel
from tests.detector.text import toy

SHIPPED = Path(detector.__file__).parent / "weights"
MODEL = toy.first_stage_model()
POST = "Honestly, I think we all need to talk about this more often."
TEXTS = st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.just(POST), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def shipped() -> FirstStageModel:
    return FirstStageModel.load(SHIPPED)


@given(TEXTS, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_features_of_a_text_are_the_same_alone_and_in_any_company(texts: list[str], rng: object) -> None:
    langs = ["en", "fr", "", "de"] * 2
    together = MODEL.read(texts, langs[: len(texts)])
    assert len(together) == len(texts)
    for index, text in enumerate(texts):
        assert MODEL.read([text], [langs[index]])[0].tobytes() == together[index].tobytes()


def test_features_of_a_text_are_the_same_across_the_edge_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{POST} {i}" * (1 + i % 3) for i in range(23)]
    whole = MODEL.read(texts, ["en"] * 23)
    monkeypatch.setattr(first_stage, "CHUNK", 7)
    assert MODEL.read(texts, ["en"] * 23).tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("text", "lang", "reason"),
    [
        ("", "en", TextAbstain.NO_TEXT),
        (" \n\t", "en", TextAbstain.NO_TEXT),
        ("@user https://t.co/x", "en", TextAbstain.TOO_SHORT),
        ("only three words", "en", TextAbstain.TOO_SHORT),
        (POST, "", TextAbstain.LANGUAGE),
        (POST, "sw", TextAbstain.LANGUAGE),
        (POST, "not a tag!", TextAbstain.LANGUAGE),
        (POST, "en", TextAbstain.NONE),
        (POST, "en-GB", TextAbstain.NONE),
        (POST, "FR", TextAbstain.NONE),
    ],
)
def test_what_cannot_be_judged_is_no_evidence_and_says_why(text: str, lang: str, reason: TextAbstain) -> None:
    features = MODEL.read([text], [lang])[0]
    assert features["abstain"] == reason
    assert (features["llr"] == 0) == (reason != TextAbstain.NONE)


def test_style_sketch_and_minhash_are_there_even_where_the_model_abstains() -> None:
    features = MODEL.read(["two words"], ["xx"])[0]
    assert features["words"] == 2
    assert features["style"].any()
    assert features["sketch"].any()
    assert features["minhash"].all()


def test_nothing_is_read_from_nothing() -> None:
    assert MODEL.read([], []).shape == (0,)
    assert MODEL.read([""], ["en"])[0].tobytes()[3:] == bytes(TEXT_FEATURES.itemsize - 3)


def test_marks_of_a_platform_change_nothing() -> None:
    plain, masked = MODEL.read([POST, f"@user @user {POST} https://t.co/abc"], ["en", "en"])
    assert plain.tobytes() == masked.tobytes()


def test_each_text_needs_a_language() -> None:
    with pytest.raises(ValueError, match="one language for each"):
        MODEL.read(["a", "b"], ["en"])


def test_raw_scores_are_what_readings_are_calibrated_from() -> None:
    texts = [POST, "lol no way that happened to u", POST.upper()]
    want = np.clip(np.rint(MODEL.raw(texts) * 1000), -4000, 4000)
    assert MODEL.read(texts, ["en"] * 3)["llr"].tolist() == want.tolist()


def test_the_shipped_model_loads_and_is_bounded(shipped: FirstStageModel) -> None:
    assert {"en", "fr"} <= shipped.languages
    assert shipped.version
    text_features = shipped.read(
        [POST, "lol idk man thats wild", "Je ne sais pas quoi dire, c'est fou !"], ["en", "en", "fr"]
    )
    assert (text_features["abstain"] == TextAbstain.NONE).all()
    assert np.abs(text_features["llr"].astype(int)).max() <= 4000


def test_the_shipped_model_prefers_a_stock_phrase_of_assistants(shipped: FirstStageModel) -> None:
    machine = (
        "It's truly inspiring to see how innovation is transforming our communities, empowering individuals, and "
        "fostering meaningful connections. What are your thoughts? #Innovation #Community"
    )
    person = "Yall remember when Mrs Jackson made us run laps cuz Tyrone threw up in the gym @user lmaooo"
    text_features = shipped.read([machine, person], ["en", "en"])
    assert text_features["llr"][0] > 1000 > text_features["llr"][1]


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "empty"])
def test_a_damaged_model_does_not_load(tmp_path: Path, damage: str) -> None:
    for suffix in (".json", ".safetensors"):
        (tmp_path / f"text{suffix}").write_bytes((SHIPPED / f"text{suffix}").read_bytes())
    path = tmp_path / "text.safetensors"
    body = bytearray(path.read_bytes())
    if damage == "flip":
        body[len(body) // 2] ^= 1
    elif damage == "cut":
        body = body[: len(body) // 2]
    elif damage == "swap":
        body = bytearray((SHIPPED / "account.safetensors").read_bytes())
    else:
        body = bytearray()
    path.write_bytes(body)
    with pytest.raises(ModelError, match="text"):
        FirstStageModel.load(tmp_path)


def test_a_missing_model_says_where_it_was_sought(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=tmp_path.name):
        FirstStageModel.load(tmp_path)
