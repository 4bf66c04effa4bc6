"""As much of Prometheus' query language as `deploy/prometheus/alerts.yaml` uses, to try its rules on made-up series.

Selectors with `=`, `!=`, `=~` and `!~`, ranges and `offset`; `rate`, `increase`, `min_over_time`, `absent`, `time`;
`sum`, `max`, `min`, `count` with `by`; arithmetic, comparisons that filter, `and`, `or`, `unless`, each with `on`.
Unlike Prometheus, `increase` does not extrapolate to the edges of its range.
"""

from __future__ import annotations

import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

LOOKBACK_S: Final = 300.0
"""How old a sample may be to count as the present one, as in Prometheus."""

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float

_TOKEN: Final = re.compile(
    r'\s*(\d+[smhd]|\d+(?:\.\d+)?|"[^"]*"|[A-Za-z_:][\w:]*|=~|!~|==|!=|>=|<=|[-+*/<>=(){}\[\],])'
)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COMPARE: Final = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_ARITHMETIC: Final = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_LEVELS: Final = (("or",), ("and", "unless"), tuple(_COMPARE), ("+", "-"), ("*", "/"))
_AGGREGATES: Final[dict[str, Callable[[list[float]], float]]] = {"sum": sum, "max": max, "min": min, "count": len}
_OVER_RANGES: Final = ("rate", "increase", "min_over_time")


@dataclass
class Series:
    """Samples of one series, ascending in time (seconds)."""

    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Store:
    """Everything that was scraped."""

    def __init__(self) -> None:
        self.series: dict[Labels, Series] = {}

    def add(self, name: str, at_s: float, value: float, **labels: str) -> None:
        """One sample; times of a series ascend."""
        series = self.series.setdefault(frozenset({"__name__": name, **labels}.items()), Series())
        series.times.append(at_s)
        series.values.append(value)


class Query:
    """One query at one moment.

    Args:
        text: the query.
        store: what was scraped.
        now_s: the moment.
    """

    def __init__(self, text: str, store: Store, now_s: float) -> None:
        self._tokens = _TOKEN.findall(text)
        assert "".join(self._tokens) == "".join(text.split()), f"not understood: {text}"
        self._at = 0
        self._store, self._now = store, now_s

    def value(self) -> Value:
        """What the query gives."""
        result = self._binary(0)
        assert self._at == len(self._tokens), f"left over: {self._tokens[self._at :]}"
        return result

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, wanted: str | None = None) -> str:
        token = self._peek()
        assert token, "the query ends too early"
        assert wanted in (None, token), f"{wanted} expected, {token} found"
        self._at += 1
        return token

    def _binary(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._primary()
        left = self._binary(level + 1)
        while self._peek() in _LEVELS[level]:
            sign = self._next()
            on = None
            if self._peek() == "on":
                self._next()
                on = self._names()
            left = _combined(sign, left, self._binary(level + 1), on)
        return left

    def _names(self) -> list[str]:
        self._next("(")
        names = []
        while self._peek() != ")":
            names.append(self._next())
            if self._peek() == ",":
                self._next()
        self._next(")")
        return names

    def _primary(self) -> Value:
        token = self._next()
        if token == "(":
            inner = self._binary(0)
            self._next(")")
            return inner
        if token[0].isdigit():
            return float(token)
        if token == "time":
            self._names()
            return self._now
        if token in _AGGREGATES:
            by = []
            if self._peek() == "by":
                self._next()
                by = self._names()
            return _aggregated(_AGGREGATES[token], self._argument(), by)
        if token == "absent":
            return {} if self._argument() else {frozenset(): 1.0}
        if token in _OVER_RANGES:
            self._next("(")
            chosen, range_s, offset_s = self._selector(self._next())
            self._next(")")
            return self._over_range(token, chosen, range_s, offset_s)
        chosen, _, offset_s = self._selector(token)
        return {labels: value for labels in chosen if (value := self._present(labels, offset_s)) is not None}

    def _argument(self) -> Vector:
        self._next("(")
        inner = self._binary(0)
        self._next(")")
        assert isinstance(inner, dict)
        return inner

    def _selector(self, name: str) -> tuple[list[Labels], float, float]:
        matchers = [("__name__", "=", name)]
        if self._peek() == "{":
            self._next()
            while self._peek() != "}":
                matchers.append((self._next(), self._next(), self._next().strip('"')))
                if self._peek() == ",":
                    self._next()
            self._next("}")
        range_s = offset_s = 0.0
        if self._peek() == "[":
            self._next()
            range_s = _seconds(self._next())
            self._next("]")
        if self._peek() == "offset":
            self._next()
            offset_s = _seconds(self._next())
        return [labels for labels in self._store.series if _matches(dict(labels), matchers)], range_s, offset_s

    def _present(self, labels: Labels, offset_s: float) -> float | None:
        series, at = self._store.series[labels], self._now - offset_s
        last = bisect_right(series.times, at) - 1
        return series.values[last] if last >= 0 and at - series.times[last] < LOOKBACK_S else None

    def _over_range(self, name: str, chosen: list[Labels], range_s: float, offset_s: float) -> Vector:
        out: Vector = {}
        until = self._now - offset_s
        for labels in chosen:
            series = self._store.series[labels]
            first, last = bisect_left(series.times, until - range_s), bisect_right(series.times, until)
            values = series.values[first:last]
            if name == "min_over_time" and values:
                out[_unnamed(labels)] = min(values)
            elif len(values) > 1:
                pairs = pairwise(values)
                risen = sum(after - before if after >= before else after for before, after in pairs)
                out[_unnamed(labels)] = risen / range_s if name == "rate" else risen
        return out


def _seconds(duration: str) -> float:
    return float(duration[:-1]) * _UNIT_S[duration[-1]]


def _unnamed(labels: Labels) -> Labels:
    return frozenset(pair for pair in labels if pair[0] != "__name__")


def _only(labels: Labels, names: list[str] | None) -> Labels:
    return _unnamed(labels) if names is None else frozenset(pair for pair in labels if pair[0] in names)


def _matches(labels: dict[str, str], matchers: list[tuple[str, str, str]]) -> bool:
    tests: dict[str, Callable[[str, str], bool]] = {
        "=": operator.eq,
        "!=": operator.ne,
        "=~": lambda value, pattern: re.fullmatch(pattern, value) is not None,
        "!~": lambda value, pattern: re.fullmatch(pattern, value) is None,
    }
    return all(tests[sign](labels.get(name, ""), wanted) for name, sign, wanted in matchers)


def _aggregated(how: Callable[[list[float]], float], vector: Vector, by: list[str]) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(_only(labels, by), []).append(value)
    return {labels: float(how(values)) for labels, values in groups.items()}


def _combined(sign: str, left: Value, right: Value, on: list[str] | None) -> Value:
    if sign in ("and", "or", "unless"):
        assert isinstance(left, dict)
        assert isinstance(right, dict)
        there = {_only(labels, on) for labels in right}
        if sign == "or":
            have = {_only(labels, on) for labels in left}
            return left | {labels: value for labels, value in right.items() if _only(labels, on) not in have}
        return {labels: value for labels, value in left.items() if (_only(labels, on) in there) == (sign == "and")}
    if isinstance(left, float) and isinstance(right, float):
        return float((_ARITHMETIC | _COMPARE)[sign](left, right))
    out: Vector = {}
    for labels, a, b in _pairs(left, right, on):
        if sign in _COMPARE:
            if _COMPARE[sign](a, b):
                out[labels] = a
        elif sign != "/" or b:
            out[_unnamed(labels)] = _ARITHMETIC[sign](a, b)
    return out


def _pairs(left: Value, right: Value, on: list[str] | None) -> list[tuple[Labels, float, float]]:
    if isinstance(left, float):
        assert isinstance(right, dict)
        return [(labels, left, value) for labels, value in right.items()]
    if isinstance(right, float):
        return [(labels, value, right) for labels, value in left.items()]
    others = {_only(labels, on): value for labels, value in right.items()}
    return [(labels, value, others[_only(labels, on)]) for labels, value in left.items() if _only(labels, on) in others]
