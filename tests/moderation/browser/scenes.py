"""What the browser is shown: made-up campaigns, people who coordinate, and strangers who attack. Texts are our own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from detector.reasons import direction, factor
from tests.moderation.builders import alert, llr, pages, stamp

TUNNEL = (
    "harbour_watch_77", "nadia_kettle", "oldtown_oliver", "the_real_brigg", "quayside_mum", "m_lindqvist_83",
    "ferry_commuter", "plainspoken_pat", "tide_tables", "rosa_at_number_9", "council_counter", "jetty_jan",
)  # fmt: skip

TEXTS = (
    "The harbour tunnel will cost every household 2,300 a year. Ask your councillor to explain that before Friday.",
    "Read this twice: the harbour tunnel will cost every household 2,300 a year. Ask your councillor to explain!",
    "So the harbour tunnel will cost every household 2,300 a year and nobody at the town hall thought to mention it.",
    "Was at the meeting last night. Three engineers, no straight answer on who pays when the pumps fail.",
    "Three engineers and still no straight answer on who pays when the pumps fail. That tells you everything.",
    "I used to be in favour. Then I read page 41 of the survey: https://tunnel.example/facts",
    "Page 41 of the survey is all you need: https://tunnel.example/facts",
    "My grandmother took the ferry for sixty years and it never once needed a pump.",
    "Vote no. Not because change is bad, but because the sums are wrong.",
)

CLUB = ("Fenwick Readers", "bookish_bea", "marginalia_mo", "spine_and_page", "tbr_tomas", "third_shelf", "dogear_dina")

CHANCE = (
    "Chance: on what they shared after the group was first suspected, it is over a million times likelier that they "
    "act together than not; at most 5% of the groups listed are expected to be chance."
)

ARABIC = ("مراقب_الميناء", "صوت_المدينة_القديمة", "نورة_العلي")
ARABIC_TEXTS = (
    "النفق سيكلف كل أسرة أكثر من ألفي دينار في السنة، اسألوا المجلس قبل يوم الجمعة.",
    "اقرأوا هذا مرتين: النفق سيكلف كل أسرة أكثر من ألفي دينار في السنة!",
    "لا أحد يشرح من سيدفع عندما تتعطل المضخات.",
)

UNTRUSTED = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "gpj.\u202eexe" + "W" * 180,
)
UNTRUSTED_TEXTS = (
    "<svg onload=\"document.title='owned'\"> javascript:document.title='owned' {{7*7}} ${7*7}",
    "\"'><style>*{display:none}</style><a href=\"javascript:document.title='owned'\">click</a>",
    "Z\u0335\u0321\u0322" + "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308" * 20,
)


def together(*met: tuple[int, str, float]) -> list[str]:
    """Sentences on how often members met, as the system writes them."""
    return [
        f"Together: pairs of them met {seen} times in {words}; about {chance} would be expected by chance."
        for seen, words, chance in met
    ]


def edges(accounts: Sequence[str], reach: int = 3) -> list[dict[str, Any]]:
    """Each account tied to those behind it, in kinds that take turns."""
    kinds = ("near_duplicate", "repost", "link", "mention", "reply_target")
    shared = {"link": ["https://tunnel.example/facts"], "repost": ["harbour_watch_77/p12", "tide_tables/p40"]}
    return [
        {"a": min(a, b), "b": max(a, b), "kind": kind, "count": 3 + (one * 5 + two) % 9,
         "expected": 0.4 + 0.1 * (one % 4), "z": 2.5 + (one * 7 + two * 3) % 40 / 10, "objects": shared.get(kind, [])}
        for one, a in enumerate(accounts)
        for two, b in enumerate(accounts[one + 1 : one + 1 + reach])
        for kind in kinds[(one + two) % 5 : (one + two) % 5 + 1 + (one % 3 == 0)]
    ]  # fmt: skip


def waves(accounts: Sequence[str], days: int = 2) -> list[dict[str, Any]]:
    """Posts in waves every six hours, in which most take part, and a little between them."""
    found = []
    for place, who in enumerate(accounts):
        for wave in range(days * 4):
            for turn in range(3 if (place + wave) % 5 else 0):
                at = 360 * wave + 40 + (place * 7 + turn * 13) % 45
                found.append({"account": who, "at": stamp(at), "kind": ("post", "repost", "reply")[(place + turn) % 3]})
        found.append({"account": who, "at": stamp(97 * (place + 1) % (1440 * days)), "kind": "post"})
    return found


def tunnel(name: str = "tunnel", accounts: Sequence[str] = TUNNEL, **more: Any) -> list[dict[str, Any]]:
    """A campaign: machine-driven, in concert; and its details."""
    record = alert(name, accounts=accounts, texts=TEXTS, minutes=2880, **more)
    record["edges"] = edges(accounts)[:50]
    for place, member in enumerate(record["members"]):
        member["llr"] = llr(2.6 - 0.35 * (place % 5), 2.5 - 0.2 * (place % 4), 0.9 - 0.1 * (place % 5))
    record["evidence"] = llr(text=1.9, coordination=2.1, graph=0.7)
    record["statistic"], record["threshold"] = 1.4e11, 57.3
    record["why"] = [
        f"What: {len(accounts)} accounts act together and look driven by a language model.",
        "Since: 1 June 2025 08:00 UTC, last seen 3 June 2025 07:59 UTC.",
        *together((121, "reposts of the same posts", 15.8), (73, "the same links", 13.8),
                  (48, "near-identical texts", 0.9)),
        CHANCE,
        (f"Machine: the members' own texts and habits are over a million times likelier for a machine-driven account "
        f"as a group; {len(accounts) - 1} of {len(accounts)} are flagged by their own total."),
    ]  # fmt: skip
    record["limits"] = [
        "Acting together is no offence: parties, newsrooms and fan clubs do it too.",
        "1 member not flagged singly: some may be people the group met.",
        "Who runs the accounts, and why, cannot be seen from posts.",
    ]
    details = {
        "id": name, "revision": record["revision"], "page": 1, "pages": 1, "edges": edges(accounts),
        "posts": waves(accounts), "objects": [
            {"kind": "link", "object": "https://tunnel.example/facts", "accounts": list(accounts[:9])},
            {"kind": "repost", "object": "harbour_watch_77/p12", "accounts": list(accounts[:7])},
            {"kind": "hashtags", "object": "#voteno #harbour", "accounts": list(accounts[2:7])},
        ],
    }  # fmt: skip
    return [record, details]


def lone(name: str, account: str, text: float, minutes: float = 900) -> dict[str, Any]:
    """One machine-driven account."""
    record = alert(name, kind="account", accounts=(account,), texts=TEXTS[5:8], minutes=minutes)
    parts = record["evidence"] = record["members"][0]["llr"] = llr(text=text, coordination=0.0, graph=0.6)
    record["members"][0]["posterior"] = 1 / (1 + 99 * math.exp(-parts["total"]))
    record["statistic"], record["threshold"] = parts["total"], 2.423
    record["target_fpr"], record["target_fdr"] = 0.01, None
    hours = minutes / len(record["posts"])
    record["posts"] = [post | {"at": stamp(hours * place + 17)} for place, post in enumerate(record["posts"])]
    what = f"what was seen is about {factor(parts['total'])} likelier for such an account than for a person"
    flagged = "about 10 (1 to 22) would ever be flagged within 50 texts"
    record["why"] = [
        f"What: a language model probably drives this account: {what}.",
        "Since: 1 June 2025 08:00 UTC, last seen 1 June 2025 22:59 UTC, over 3 texts.",
        f"Text: how it writes is {direction(text)}; 100% of its texts look machine-written singly.",
        f"Contacts: whom it deals with is {direction(parts['graph'])}.",
        f"Habits: its pauses, sittings and hours are, beside that, {direction(parts['behaviour'])}.",
        f"Chance: of 1,000 people like those the system was calibrated on, {flagged}.",
    ]
    record["limits"] = [
        "Not used: coordination (in no tested group).",
        "Only 3 texts so far: the evidence is thin.",
        "Help by a model (translation, correction, drafting) can look the same as an account that a model drives.",
    ]  # fmt: skip
    return record


def club() -> list[dict[str, Any]]:
    """People who coordinate, and no machine."""
    record = alert("club", kind="coordination", accounts=CLUB, texts=TEXTS[7:], minutes=2000)
    record["evidence"] = {"text": -1.7, "behaviour": -0.3, "coordination": -0.9, "graph": -0.4, "total": -3.3}
    for member in record["members"]:
        member["llr"] = dict(record["evidence"])
    record["edges"] = edges(CLUB, 2)
    record["why"] = [
        f"What: {len(CLUB)} accounts act together; nothing shows that a machine drives them.",
        *together((84, "interactions", 12.8), (22, "reposts of the same posts", 1.9)),
        CHANCE,
    ]
    record["limits"] = [
        "Acting together is no offence: parties, newsrooms and fan clubs do it too.",
        "This is for information: nobody is flagged for belonging to the group.",
        "Who runs the accounts, and why, cannot be seen from posts.",
    ]
    details = {"id": "club", "revision": 1, "page": 1, "pages": 1, "edges": edges(CLUB, 2), "posts": waves(CLUB),
               "objects": []}  # fmt: skip
    return [record, details]


def strangers() -> list[dict[str, Any]]:
    """Names and texts that run from right to left, are very long, or attack."""
    arabic = tunnel("arabic", ARABIC)
    arabic[0]["posts"] = [post | {"text": text} for post, text in zip(arabic[0]["posts"], ARABIC_TEXTS, strict=False)]
    untrusted = tunnel("untrusted", UNTRUSTED)
    untrusted[0]["posts"] = [
        post | {"text": text} for post, text in zip(untrusted[0]["posts"], UNTRUSTED_TEXTS, strict=False)
    ]
    untrusted[0]["why"].append(UNTRUSTED_TEXTS[0])
    return [*arabic, *untrusted]


def crowd(size: int = 1000) -> list[dict[str, Any]]:
    """A campaign of a thousand: as many members and ties as an alert may have."""
    names = itertools.cycle(itertools.product(("ann", "bo", "cy", "dee", "eli"), ("ray", "west", "hill")))
    accounts = [f"{first}_{last}{number}" for number, (first, last) in zip(range(size), names, strict=False)]
    record, *_ = tunnel("crowd", accounts)
    found = pages("crowd", accounts=accounts, edges=0, posts=6)
    found[0]["edges"] = [
        {"a": accounts[place], "b": accounts[other], "kind": ("repost", "link", "mention")[place % 3], "count": 3,
         "expected": 0.5, "z": 2 + math.sin(place) ** 2, "objects": []}
        for place in range(size)
        for other in {(place * 2 + 1) % size, (place * 3 + 7) % size, (place + 40) % size, place // 9 * 9} - {place}
    ]  # fmt: skip
    return [record, *found]


def everything() -> list[dict[str, Any]]:
    """A morning's queue."""
    return [
        *tunnel(), *club(), *strangers(),
        *(lone(f"lone{place}", who, 2.2 + place * 0.6, 300 + 170 * place)
          for place, who in enumerate(("touchline_verity", "dellow_bakes", "harold_pettiver", "weather_by_wanda",
                                       "a_name_that_goes_on_and_on_until_nobody_wants_to_read_it_any_more_at_all"))),
        *tunnel("parking", TUNNEL[6:11]),
    ]  # fmt: skip
