"""Every event gets the words it should have: own, repeated, varied, copied, answered, smoothed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from simulation import world as kinds
from simulation.content.base import Request, Text
from simulation.content.writer import Personas, TextWriter, says_again, vary
from simulation.population_config import LookAlike, Operator, PopulationConfig, Tactics, Wording
from simulation.world import Chunk, World
from tests.simulation.populations import NOBODY, QUIET


class Echo:
    """A source whose texts say what was asked for."""

    def __init__(self, name: str, *, speaks: bool = False) -> None:
        self.name, self.speaks = name, speaks
        self.asked: list[Request] = []

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        self.asked += requests
        return [Text(f"{self.name} {request.purpose} {request.number} [{request.before}]") for request in requests]


def population(wording: Wording, **changes: object) -> World:
    tactics = Tactics(tasks_per_day=12.0, joint=0.8, lag_s=600.0, goals=("link",), wording=wording)
    family = Operator(name="one", size=(20, 20), tactics=tactics)
    made = msgspec.structs.replace(QUIET, accounts=400, machines=0.1, operators=(family,), days=1.0, **changes)
    return World(made, 0)


def spoken(world: World, people: Echo | None, machines: Echo | None) -> tuple[Chunk, list[Text | None]]:
    writer = TextWriter(world, people, machines, Personas.shipped())
    chunks, texts = [], []
    for chunk in world.chunks():
        chunks.append(chunk)
        texts += writer.texts(chunk)
    return Chunk.joined(chunks), texts


def words(texts: Sequence[Text | None], mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[str]:
    return [text.words for text, wanted in zip(texts, mask.tolist(), strict=True) if wanted and text is not None]


def test_people_and_machines_have_their_own_sources_and_reactions_without_words_none() -> None:
    world = population("independent")
    found, texts = spoken(world, Echo("person"), Echo("machine"))
    machine = world.roles.label[found.account]
    written = kinds.written(found.kind)
    assert all((text is not None) == bool(wanted) for text, wanted in zip(texts, written, strict=True))
    assert {word.split()[0] for word in words(texts, written & machine)} == {"machine"}
    assert {word.split()[0] for word in words(texts, written & ~machine)} == {"person"}


def test_without_a_source_there_are_no_texts() -> None:
    world = population("independent")
    found, texts = spoken(world, None, Echo("machine"))
    assert not words(texts, ~world.roles.label[found.account])


def test_verbatim_campaigns_repeat_one_text_a_task() -> None:
    found, texts = spoken(population("verbatim"), Echo("person"), Echo("machine"))
    same = found.manner == kinds.VERBATIM
    for task in np.unique(found.words[same]).tolist():
        assert len(set(words(texts, same & (found.words == task)))) == 1
    assert max(Counter(words(texts, same)).values()) > 2


def test_paraphrases_are_asked_of_a_model_and_made_by_rule_otherwise() -> None:
    model = Echo("machine", speaks=True)
    found, texts = spoken(population("paraphrase"), Echo("person"), model)
    again = [request for request in model.asked if request.purpose == "paraphrase"]
    assert len(again) > 10
    assert all(request.before.startswith("machine") for request in again)
    found, texts = spoken(population("paraphrase"), Echo("person"), Echo("machine"))
    varied = words(texts, found.manner == kinds.PARAPHRASE)
    assert len(varied) > 10
    assert len(set(varied)) > 0.5 * len(varied)


def test_copied_posts_are_somebody_elses_words() -> None:
    found, texts = spoken(population("copied"), Echo("person"), Echo("machine"))
    by_serial = {int(serial): text for serial, text in zip(found.serial, texts, strict=True) if text is not None}
    hits = 0
    for i in np.flatnonzero(found.manner == kinds.COPIED).tolist():
        source = by_serial.get(int(found.words[i]))
        if source is not None:
            assert texts[i] == source
            hits += 1
    assert hits > 10


def test_a_model_that_replies_is_told_what_it_replies_to() -> None:
    model = Echo("machine", speaks=True)
    spoken(population("independent"), Echo("person"), model)
    replies = [request for request in model.asked if request.purpose == "reply"]
    assert len(replies) > 20
    assert sum(bool(request.before) for request in replies) > 0.8 * len(replies)


def test_machines_speak_of_their_campaign_when_they_serve_it_and_only_then() -> None:
    model = Echo("machine", speaks=True)
    world = population("independent")
    found, _ = spoken(world, None, model)
    serving = set(found.serial[found.task >= 0].tolist())
    assert all(bool(request.about) == (request.number in serving) for request in model.asked)
    assert len({request.about for request in model.asked}) == 1 + len(world.roles.campaigns)


def test_bought_accounts_speak_as_people_until_they_are_sold() -> None:
    world = population("independent")
    members = np.flatnonzero(world.roles.label)
    world.roles.since_ms[members] = world.start_ms + 43_200_000
    found, texts = spoken(world, Echo("person"), Echo("machine"))
    mine = world.roles.label[found.account]
    before = mine & (found.at < world.start_ms + 43_200_000)
    assert {word.split()[0] for word in words(texts, before)} == {"person"}
    assert {word.split()[0] for word in words(texts, mine & ~before)} == {"machine"}


def test_writing_help_smooths_what_people_wrote_where_a_model_can() -> None:
    helped = msgspec.structs.replace(NOBODY, writing_help=LookAlike(share=0.5))
    world = World(PopulationConfig(accounts=300, machines=0.0, days=0.5, burn_in_hours=2.0, lookalikes=helped), 0)
    found, texts = spoken(world, Echo("person"), Echo("model", speaks=True))
    mask = world.roles.flags["helped"][found.account] & kinds.written(found.kind)
    smoothed = words(texts, mask)
    assert smoothed
    assert all(word.startswith("model improve") and "person" in word for word in smoothed)


class Astray(Echo):
    """A model that says something else than it was asked to smooth."""

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        return [Text("certainly, here is a recipe") for _ in requests]


def test_what_a_model_did_not_smooth_but_replace_stays_the_persons() -> None:
    helped = msgspec.structs.replace(NOBODY, writing_help=LookAlike(share=0.5))
    world = World(PopulationConfig(accounts=300, machines=0.0, days=0.5, burn_in_hours=2.0, lookalikes=helped), 0)
    found, texts = spoken(world, Echo("person"), Astray("model", speaks=True))
    assert {word.split()[0] for word in words(texts, kinds.written(found.kind))} == {"person"}
    assert says_again("my brother cooks very well", "My brother cooks really well.")
    assert not says_again("ok", "ok")


def test_headlines_are_posted_word_for_word() -> None:
    button = msgspec.structs.replace(NOBODY, share_button=LookAlike(share=0.9))
    made = PopulationConfig(accounts=500, machines=0.0, days=1.0, burn_in_hours=2.0, lookalikes=button)
    found, texts = spoken(World(made, 0), Echo("person"), None)
    pressed = found.manner == kinds.HEADLINE
    links, counts = np.unique(found.link[pressed], return_counts=True)
    assert counts.max() > 1
    for link in links[counts > 1].tolist():
        assert len(set(words(texts, pressed & (found.link == link)))) == 1


def test_what_is_no_longer_on_the_feed_is_forgotten() -> None:
    world = population("verbatim")
    writer = TextWriter(world, Echo("person"), Echo("machine"), Personas.shipped())
    for chunk in world.chunks():
        writer.texts(chunk)
    assert len(writer._said) <= len(world.feed.serial)


def test_a_rule_varies_texts_reproducibly() -> None:
    text = "People cannot wait because the bus is late. It is very good that you help. Show them!"
    variants = {vary(text, np.random.default_rng(i)) for i in range(20)}
    assert len(variants) > 10
    assert vary(text, np.random.default_rng(3)) == vary(text, np.random.default_rng(3))
    assert all("bus is late" in variant.lower() for variant in variants)


def test_personas_belong_to_accounts_and_prompts_to_purposes() -> None:
    personas = Personas.shipped()
    first, again, other = (personas.system_prompt(1, Request(account, 5, "post")) for account in (1, 1, 2))
    assert first == again != other
    assert "toll" in personas.system_prompt(1, Request(1, 5, "post", about="the toll"))
    assert "hello" in personas.prompt(1, Request(1, 5, "reply", before="hello"))
    for campaign in ("c000", "c001"):
        assert personas.about(0, campaign) in personas.briefs
