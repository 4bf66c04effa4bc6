"""Model cards: what a shipped weight was trained on, how it does, and where it fails, from its own report.

A card is a Jinja2 template of `training/templates` filled with what the model's JSON file holds, so that a card can be
written again from the file alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from detector.account.features import language_tag
from detector.threshold_groups import cell_name
from detector.thresholds import Thresholds
from training.data import OWN_SET, SETS
from training.model_reports import AGES
from training.pair_training import GroupScores


def table_rows(header: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table."""
    head = "| " + " | ".join(header) + " |\n|" + " --- |" * len(header)
    return "\n".join([head, *("| " + " | ".join(line) + " |" for line in lines)])


def _estimate(values: list[float]) -> str:
    """A measure with its interval, as cards print it."""
    value, low, high = values
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def sources_table(records: list[dict[str, Any]]) -> str:
    """Which sets the weights learned from, with licences, rows and generators."""
    licences = {spec.name: spec.licence for spec in (*SETS, OWN_SET)}
    lines = [
        [
            record["source"],
            licences.get(record["set"], "not stated"),
            str(record["people"]),
            str(record["machine"]),
            ", ".join(record["generators"]) or "-",
        ]
        for record in records
    ]
    return table_rows(["source", "licence", "people", "machine", "generators"], lines)


def left_out_table(records: list[dict[str, Any]]) -> str:
    """The leave-one-source-out table."""
    names = [key.removesuffix("_auroc") for key in records[0] if key.endswith("_auroc")]
    header = ["source left out", *(f"{name} {what}" for name in names for what in ("AUROC", "TPR at 1% FPR"))]
    lines = [
        [record["source"]]
        + [_estimate(record[f"{name}_{what}"]) for name in names for what in ("auroc", "tpr_at_1pct_fpr")]
        for record in records
    ]
    return table_rows(header, lines)


def people_table(records: list[dict[str, Any]]) -> str:
    """Evidence against people, by source and language."""
    lines = [
        [
            record["source"],
            record["lang"],
            str(record["people"]),
            f"{record['mean_nats']:+.3f}",
            f"{100 * record['share_above_1_nat']:.1f}%",
        ]
        for record in sorted(records, key=lambda record: -record["share_above_1_nat"])
    ]
    return table_rows(["people", "language", "texts", "mean LLR (nats)", "above +1 nat"], lines)


_templates: Final = Environment(  # noqa: S701 - Markdown, of our own figures
    loader=PackageLoader("training"), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
)
_templates.globals.update(
    table=table_rows, sources_table=sources_table, left_out_table=left_out_table, people_table=people_table
)

WEAKEST: Final = 6
"""Sources that the card of the first-stage model names as those it does worst on."""


def first_stage_card(meta: Mapping[str, Any]) -> str:
    """The card of the first-stage text model, of what `text.json` holds."""
    report = meta["report"]
    worst = sorted(report["leave_one_source_out"], key=lambda record: float(record["cheap_auroc"][0]))[:WEAKEST]
    weakest = [record["source"] for record in worst]
    return _templates.get_template("first_stage.md.j2").render(meta=meta, report=report, weakest=weakest)


def second_stage_card(meta: Mapping[str, Any]) -> str:
    """The card of the second-stage text model, of what `expert.json` holds."""
    return _templates.get_template("second_stage.md.j2").render(meta=meta, report=meta["report"])


def account_card(meta: Mapping[str, Any]) -> str:
    """The card of the account model, of what `account.json` holds."""
    report = meta["report"]
    licences = {spec.name: spec.licence for spec in (*SETS, OWN_SET)}
    learned = [
        [spec, licences.get(spec, "see below"), str(count["people"]), str(count["machine"])]
        for spec, count in sorted(report["accounts"].items())
    ]
    ages = [
        ["end" if line["posts"] >= AGES[-1] else str(line["posts"]), str(line["people"]), str(line["machine"])]
        + [f"{line[key]:.3f}" for key in ("auroc", "tpr_at_1pct_fpr", "tpr_at_5pct_fpr")]
        for line in report["by_age"]
    ]
    machines = [
        [
            line["group"],
            str(line["accounts"]),
            f"{line['mean_nats']:+.2f}",
            f"{line['auroc_against_stream_people']:.3f}",
        ]
        for line in sorted(report["groups"], key=lambda line: float(line["auroc_against_stream_people"]))
        if line["label"] == 1
    ]
    people = [
        [line["group"], str(line["accounts"]), f"{line['mean_nats']:+.2f}", f"{100 * line['above_1_nat']:.0f}%"]
        for line in sorted(report["groups"], key=lambda line: -float(line["mean_nats"]))
        if line["label"] == 0
    ]
    return _templates.get_template("account.md.j2").render(
        meta=meta,
        report=report,
        readers=[f"{name} {version}" for name, version in sorted(report["readers"].items())],
        learned=learned,
        ages=ages,
        machines=machines,
        people=people,
        weakest=[line[0] for line in machines[:5]],
        accused=[f"{line[0]} ({line[3]})" for line in people[:5]],
    )


POOLS: Final[Mapping[str, str]] = {
    "agents": "mixed academic releases", "chitchat": "MIT", "contest-dev": "no licence stated",
    "frontier_campaigns": "made for this work", "frontier_posts": "made for this work",
    "more_generators": "mixed academic releases", "oasis_harm_groups": "academic release without a stated licence",
    "opinion_agents": "academic release without a stated licence", "people_authors": "mixed academic releases",
    "synthpai": "academic release without a stated licence",
}  # fmt: skip
"""Licences of what societies are filled with beside the sets of `training.data`."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "texts": "Sets of campaign texts left out", "families": "Tactics left out",
    "generators": "Makers of generators left out", "societies": "Societies left out",
}  # fmt: skip
"""Tables of the report by name, with what they are called."""

Rows = tuple[list[str], list[list[str]]]
"""A table: its header, and its lines."""


def left_out_tables(report: Mapping[str, Any]) -> dict[str, Rows]:
    """The tables of both models of pairs on what was left out, by title: one line for each and each model."""
    header = [
        "left out", "model", "pair AUROC", "average precision", "half found", "pair precision", "recall", "F1",
        "accepted", "campaigns", "people together", "wrong", "campaigns half in accepted",
    ]  # fmt: skip
    found: dict[str, Rows] = {}
    for name, rows in report["tables"].items():
        lines = []
        for row in rows:
            for model in ("regression", "network"):
                one = row[model]
                lines.append(
                    [row["left_out"], model]
                    + [_or_dash(one[key]) for key in ("auroc", "average_precision", *GroupScores._fields)]
                    + [str(one[key]) for key in ("accepted", "right", "people", "wrong")]
                    + [f"{one['accepted_half']} of {one['campaigns']}"]
                )
        found[LEFT_OUT[name]] = header, lines
    return found


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def verdict(report: Mapping[str, Any]) -> str:
    """Which of the two models ships, with the numbers it is decided by."""
    gain = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*report["ahead"]["all"])
    if report["network_ahead"]:
        return (
            f"The network is ahead on the groups of campaigns left out (pair F1 {gain}): it should ship; what is "
            "written is the regression, the only one that runs at work."
        )
    return f"The network is not ahead on the groups of campaigns left out (pair F1 {gain}): the regression ships."


def graph_card(meta: Mapping[str, Any], coefficients: Mapping[str, float]) -> str:
    """The card of the same-controller model.

    Args:
        meta: what `graph.json` holds.
        coefficients: of the features, by name.
    """
    report = meta["report"]
    licences = {spec.name: spec.licence for spec in (*SETS, OWN_SET)} | dict(POOLS)
    sources = [
        [line["set"], licences.get(line["set"], "not stated")]
        + [str(line[part]) for part in ("campaign", "lone", "crowd", "people")]
        for line in report["sources"]
    ]
    rows = [
        (row["left_out"], row["regression"])
        for name, of_table in report["tables"].items()
        if name != "societies"
        for row in of_table
        if row["regression"]["f1"] is not None
    ]
    worst = [name for name, _ in sorted(rows, key=lambda row: float(row[1]["f1"]))[:WEAKEST_LEFT_OUT]]
    return _templates.get_template("graph.md.j2").render(
        meta=meta,
        report=report,
        sources=sources,
        tables=left_out_tables(report),
        gains=[
            [LEFT_OUT.get(name, "all together"), "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain)]
            for name, gain in report["ahead"].items()
        ],
        verdict=verdict(report),
        worst=worst,
        coefficients=[
            [name, f"{value:.3f}"] for name, value in sorted(coefficients.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    )


WEAKEST_LEFT_OUT: Final = 4
"""Of what was left out, so many that the card names as what it does worst on."""


_CARD_FPR: Final = 0.01
"""Target whose groups the card shows, or the next one that the people support: the default of the configuration."""

TARGETS: Final = (0.1, 0.05, 0.02, 0.01, 0.005)
"""Rates whose thresholds the card prints, where the people support them."""

ACTIVITIES: Final = ((1, "one text a day"), (5, "5 texts a day"), (20, "20 texts a day"), (100, "100 texts a day"))
"""Texts a day at which the card says how often a person is flagged in a year."""

DAYS: Final = 365


def thresholds_card(made: Thresholds) -> str:
    """The card of thresholds."""
    populations: Mapping[str, Mapping[str, Any]] = made.card["populations"]
    who: Mapping[str, str] = made.card.get("people", {})
    people = [
        [
            name,
            str(about["people"]),
            f"{about['texts_median']:g}",
            ", ".join(f"{tag} {count}" for tag, count in about["languages"].items()),
            who.get(name, ""),
        ]
        for name, about in sorted(populations.items())
    ]
    supported = [target for target in TARGETS if target >= made.finest_fpr]
    rates = []
    for target in supported:
        low, high = made.interval(target)
        rates.append([f"{target:g}", f"{made.threshold(target):.3f}", f"{100 * low:.2f}% to {100 * high:.2f}%"])
    yearly = [
        [words, f"{DAYS * daily / made.horizon_posts:.1f}"]
        + [f"{min(DAYS * daily / made.horizon_posts * target, 1.0):.3f}" for target in supported]
        for daily, words in ACTIVITIES
    ]
    shown = next((rate for rate in reversed(supported) if rate >= _CARD_FPR), None)
    groups = None if shown is None or not made.looks else made.by_group(shown)
    where = []
    for (language, cell), source in sorted(groups.groups.items()) if groups else []:
        low, high = source.interval()
        band = f"{100 * low:.2f}% to {100 * high:.2f}%"
        where.append(
            [language_tag(language), cell_name(cell), f"{source.threshold:.3f}", f"{source.rank} of {source.people}",
             band]
        )  # fmt: skip
    return _templates.get_template("thresholds.md.j2").render(
        groups=groups,
        target=shown,
        where=where,
        made=made,
        people=people,
        rates=rates,
        supported=[f"at {target:g}" for target in supported],
        yearly=yearly,
    )
