"""Prometheus' own `promtool` on the rules: that it takes them, and that they fire on the shapes of faults as
`tests.promql` says. Skipped where there is no promtool: Debian has it in the package prometheus; PROMTOOL names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.test_alert_rules import DAYS, END_S, FAULTS, RULES, STEP_S, Shape, healthy

yaml: Any = pytest.importorskip("yaml")

PROMTOOL: Final = os.environ.get("PROMTOOL") or shutil.which("promtool")

RULES_FILE: Final = Path(__file__).resolve().parent.parent / "deploy" / "prometheus" / "alerts.yaml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: install Debian's prometheus, or set PROMTOOL"),
]

EVALUATED_S: Final = 720.0
"""Time between two evaluations of the rules: no rule of the shapes fires for less, and nine days are long."""

NOT_DURING: Final = frozenset({"an alarm before the first scrape", "records lost before the first scrape"})
"""Shapes that need a scrape every minute; promtool gets one every four."""


def told(*words: str) -> str:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_takes_the_rules() -> None:
    assert "SUCCESS" in told("check", "rules", str(RULES_FILE))


def series(shape: Shape) -> list[dict[str, str]]:
    """A shape as promtool writes series: one sample every `STEP_S`."""
    found = []
    for written, value in shape.items():
        name, *pairs = written.split()
        labels = ",".join(f'{key}="{word}"' for key, word in (pair.split("=", 1) for pair in pairs))
        samples = [value(step * STEP_S) for step in range(int(END_S / STEP_S) + 1)]
        values = " ".join("_" if each is None else f"{each:.6f}" for each in samples)
        found.append({"series": f"{name}{{{labels}}}", "values": values})
    return found


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - NOT_DURING))
def test_a_fault_fires_the_same_rules(fault: str, tmp_path: Path) -> None:
    changes, expected = FAULTS[fault]
    names = {written.split()[0] for written in changes}
    told_of = [rule for rule in RULES.values() if not names or any(name in rule["expr"] for name in names)]
    rules = tmp_path / "alerts.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "swarmlight", "rules": told_of}]}))
    # Only whether it fired at some moment since the fault began.
    expr = 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[4h]))'
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": f"{EVALUATED_S:.0f}s",
        "tests": [
            {
                "interval": f"{STEP_S:.0f}s",
                "input_series": series(healthy() | changes),
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": f"{DAYS}d",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    assert "SUCCESS" in told("test", "rules", str(path))
