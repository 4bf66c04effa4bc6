"""What the browser is shown: made-up campaigns, people who coordinate, and strangers who attack. Texts are our own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from msgspec.structs import replace

from detector.reasons import (
    AccountCase,
    Reason,
    account_limitations,
    account_reasons,
    group_limitations,
    group_reasons,
)
from detector.thresholds import Thresholds
from streaming.schema.alert import (
    AccountProfileRecord,
    AlertRecord,
    EdgeRecord,
    MomentRecord,
    ObjectRecord,
    PageRecord,
    PostRecord,
)
from streaming.schema.sample import SampleRecord
from streaming.schema.score import LlrRecord
from tests.moderation.builders import alert, group_case, llr, pages, said, sampled, stamp

PEOPLE = Thresholds.of({"people": [float(i) for i in range(199)]}, 50, frozenset({"en"}), "1")
"""A calibration on 199 people, for the sentence on false flags."""

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


def edges(accounts: Sequence[str], reach: int = 3) -> list[EdgeRecord]:
    """Each account tied to those behind it, in kinds that take turns."""
    kinds = ("near_duplicate", "repost", "link", "quote", "reply_target")
    shared = {"link": ["https://tunnel.example/facts"], "repost": ["harbour_watch_77/p12", "tide_tables/p40"]}
    return [
        EdgeRecord(
            min(a, b),
            max(a, b),
            kind,
            3 + (one * 5 + two) % 9,
            0.4 + 0.1 * (one % 4),
            2.5 + (one * 7 + two * 3) % 40 / 10,
            shared.get(kind, []),
        )
        for one, a in enumerate(accounts)
        for two, b in enumerate(accounts[one + 1 : one + 1 + reach])
        for kind in kinds[(one + two) % 5 : (one + two) % 5 + 1 + (one % 3 == 0)]
    ]


def waves(accounts: Sequence[str], days: int = 2) -> list[MomentRecord]:
    """Posts in waves every six hours, in which most take part, and a little between them."""
    found = []
    for place, who in enumerate(accounts):
        for wave in range(days * 4):
            for turn in range(3 if (place + wave) % 5 else 0):
                at = 360 * wave + 40 + (place * 7 + turn * 13) % 45
                found.append(MomentRecord(who, stamp(at), ("post", "repost", "reply")[(place + turn) % 3]))
        found.append(MomentRecord(who, stamp(97 * (place + 1) % (1440 * days)), "post"))
    return found


def tunnel(name: str = "tunnel", accounts: Sequence[str] = TUNNEL) -> tuple[AlertRecord, PageRecord]:
    """A campaign: machine-driven, in concert; and its details."""
    record = alert(name, accounts=accounts, texts=TEXTS, minutes=2880)
    case = group_case(
        "campaign", len(accounts), repost=(121, 15.8), link=(73, 13.8), near_duplicate=(48, 0.9), quote=(2, 1.9)
    )
    record = said(record, group_reasons(case), group_limitations(case))
    record = replace(
        record,
        edges=edges(accounts)[:50],
        members=[
            replace(member, llr=llr(2.6 - 0.35 * (place % 5), 2.5 - 0.2 * (place % 4), 0.9 - 0.1 * (place % 5)))
            for place, member in enumerate(record.members)
        ],
        evidence=llr(text=1.9, coordination=2.1, graph=0.7),
        statistic=0.01,
        threshold=0.05,
    )
    objects = [
        ObjectRecord("link", "https://tunnel.example/facts", list(accounts[:9])),
        ObjectRecord("repost", "harbour_watch_77/p12", list(accounts[:7])),
        ObjectRecord("hashtag", "#voteno", list(accounts[2:7])),
    ]
    return record, PageRecord(name, record.revision, 1, 1, edges(accounts), waves(accounts), objects)


def lone(name: str, account: str, text: float, minutes: float = 900) -> AlertRecord:
    """One machine-driven account."""
    record = alert(name, kind="account", accounts=(account,), texts=TEXTS[5:8], minutes=minutes)
    parts = llr(text=text, coordination=0.0, graph=0.6)
    case = AccountCase(
        text=parts.text,
        behaviour=parts.behaviour,
        coordination=0.0,
        graph=parts.graph,
        posts=3,
        target_fpr=0.01,
        thresholds=PEOPLE,
        text_high=1.0,
        reranked_texts=3,
        abstained={"coordination": "in no tested group"},
        quoted=[post.id for post in record.posts],
    )
    hours = minutes / len(record.posts)
    record = replace(
        record,
        members=[replace(record.members[0], posterior=1 / (1 + 99 * math.exp(-parts.total)), llr=parts)],
        evidence=parts,
        statistic=parts.total,
        threshold=2.423,
        target_fpr=0.01,
        target_fdr=None,
        posts=[replace(post, at=stamp(hours * place + 17)) for place, post in enumerate(record.posts)],
    )
    return said(record, account_reasons(case), account_limitations(case))


def club() -> tuple[AlertRecord, PageRecord]:
    """People who coordinate, and no machine."""
    record = alert("club", kind="coordination", accounts=CLUB, texts=TEXTS[7:], minutes=2000)
    parts = LlrRecord(-1.7, -0.3, -0.9, -0.4, -3.3)
    case = group_case("coordination", len(CLUB), contact=(84, 12.8), repost=(22, 1.9))
    record = replace(
        said(record, group_reasons(case), group_limitations(case)),
        evidence=parts,
        members=[replace(member, llr=parts) for member in record.members],
        edges=edges(CLUB, 2),
    )
    return record, PageRecord("club", 1, 1, 1, edges(CLUB, 2), waves(CLUB), [])


def strangers() -> list[AlertRecord | PageRecord]:
    """Names and texts that run from right to left, are very long, or attack."""
    arabic, arabic_page = tunnel("arabic", ARABIC)
    arabic = replace(
        arabic, posts=[replace(post, text=text) for post, text in zip(arabic.posts, ARABIC_TEXTS, strict=False)]
    )
    untrusted, untrusted_page = tunnel("untrusted", UNTRUSTED)
    untrusted = replace(
        untrusted,
        posts=[replace(post, text=text) for post, text in zip(untrusted.posts, UNTRUSTED_TEXTS, strict=False)],
        reasons=[*untrusted.reasons, Reason(UNTRUSTED_TEXTS[0])],
    )
    return [arabic, arabic_page, untrusted, untrusted_page]


def crowd(size: int = 1000) -> list[AlertRecord | PageRecord]:
    """A campaign of a thousand: as many members and ties as an alert may have."""
    names = itertools.cycle(itertools.product(("ann", "bo", "cy", "dee", "eli"), ("ray", "west", "hill")))
    accounts = [f"{first}_{last}{number}" for number, (first, last) in zip(range(size), names, strict=False)]
    record, _ = tunnel("crowd", accounts)
    found = pages("crowd", accounts=accounts, edges=0, posts=6)
    ties = [
        EdgeRecord(
            accounts[place], accounts[other], ("repost", "link", "quote")[place % 3], 3, 0.5, 2 + math.sin(place) ** 2
        )
        for place in range(size)
        for other in {(place * 2 + 1) % size, (place * 3 + 7) % size, (place + 40) % size, place // 9 * 9} - {place}
    ]
    return [record, replace(found[0], edges=ties), *found[1:]]


def strays(name: str, count: int = 40) -> list[AlertRecord | PageRecord]:
    """A campaign of twelve, and many members that only a pair of ties, or none, connects with anybody."""
    names = [*TUNNEL, *(f"stray_{number}" for number in range(count))]
    record, page = tunnel(name, names)
    ties = [*edges(TUNNEL), EdgeRecord("stray_0", "stray_1", "link", 3, 0.5, 2.0)]
    return [replace(record, edges=ties[:50]), replace(page, edges=ties)]


EVERY_KIND = ("near_duplicate", "link", "domain", "hashtag", "repost", "reply_target", "quote", "mention", "like",
              "contact")  # fmt: skip


def every_tie(name: str) -> list[AlertRecord | PageRecord]:
    """A campaign in which each pair in a chain is tied by another kind."""
    names = [f"link_{number:02}" for number in range(len(EVERY_KIND) + 1)]
    record, page = tunnel(name, names)
    ties = [EdgeRecord(names[place], names[place + 1], kind, 3, 0.5, 2.0) for place, kind in enumerate(EVERY_KIND)]
    return [replace(record, edges=ties), replace(page, edges=ties)]


_DRAWN = sampled("allotment_anna", day="2025-06-02", chance=0.002, population=41_300)

SAMPLED = replace(
    _DRAWN,
    member=replace(_DRAWN.member, profile=AccountProfileRecord("2019-03-14T10:00:00Z", 212, None)),
    posts=[
        PostRecord(f"p{place}", _DRAWN.account, stamp(place * 300), text, 0.0)
        for place, text in enumerate((TEXTS[3], TEXTS[7], "Beans are up. Slugs noticed before I did."))
    ],
    moments=[MomentRecord(_DRAWN.account, stamp(place * 83 % 1400)) for place in range(24)],
)
"""An account that nothing flagged."""


def sampled_others() -> list[SampleRecord]:
    """Forty accounts more that nothing flagged."""
    return [
        sampled(f"sampled_{place}", day="2025-06-02", chance=0.001 + 0.0001 * (place % 5), population=41_300)
        for place in range(40)
    ]


def everything() -> list[AlertRecord | PageRecord]:
    """A morning's queue."""
    return [
        *tunnel(), *club(), *strangers(),
        *(lone(f"lone{place}", who, 2.2 + place * 0.6, 300 + 170 * place)
          for place, who in enumerate(("touchline_verity", "dellow_bakes", "harold_pettiver", "weather_by_wanda",
                                       "a_name_that_goes_on_and_on_until_nobody_wants_to_read_it_any_more_at_all"))),
        *tunnel("parking", TUNNEL[6:11]),
    ]  # fmt: skip
