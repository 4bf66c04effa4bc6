"""What is deployed speaks of metrics, keys and commands that exist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streaming.cli import commands
from streaming.config import load_config
from streaming.metrics import Metrics
from streaming.settings import keys

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"

yaml: Any = pytest.importorskip("yaml")


def metric_names() -> set[str]:
    """Every sample name the process can expose; histograms and counters with their suffixes."""
    names = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


@pytest.mark.parametrize("name", ["prometheus/alerts.yaml", "grafana/swarmlight.json"])
def test_rules_and_dashboard_ask_for_metrics_that_exist(name: str) -> None:
    asked = set(re.findall(r"swarmlight_[a-z_]+", (DEPLOY / name).read_text(encoding="utf-8")))
    assert len(asked) > 5
    assert asked <= metric_names()


def test_labels_of_the_rules_are_those_of_the_metrics() -> None:
    metrics = Metrics()
    metrics.records("dead")
    metrics.alarm("gap")
    metrics.models({"text": "a@1"})
    metrics.lag("score", {0: 1}, 1.0)
    known = {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            used = {label.strip() for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
            assert used <= known, rule["alert"]
            assert rule["annotations"]["summary"]


def test_every_rule_is_explained_to_operators() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in re.findall(r"alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")):
        assert f"`{name}`" in page


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = json.loads((DEPLOY / "grafana" / "swarmlight.json").read_text(encoding="utf-8"))
    assert board["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) > 5
    assert all(panel["targets"] and panel["title"] for panel in board["panels"])


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: str(path.name))
def test_every_manifest_is_yaml(path: Path) -> None:
    assert all(document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_configuration_in_the_manifest_loads(tmp_path: Path) -> None:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "swarmlight.yaml").read_text(encoding="utf-8"))
    (config_map,) = [each for each in documents if each["kind"] == "ConfigMap"]
    path = tmp_path / "swarmlight.toml"
    path.write_text(config_map["data"]["swarmlight.toml"], encoding="utf-8")
    config = load_config(path, {})
    assert config.kafka.standby == "warm"
    assert set(tomllib.loads(path.read_text())) <= {key.section or key.name for key in keys()}


def test_variables_of_compose_and_image_are_keys() -> None:
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "Containerfile").read_text()
    values = dict(re.findall(r'(SWARMLIGHT_\w+)[:=] ?"?([^"\s]+)', text))
    assert len(values) >= 4
    load_config(None, values)


def test_pods_run_commands_that_exist() -> None:
    for document in yaml.safe_load_all((DEPLOY / "kubernetes" / "swarmlight.yaml").read_text(encoding="utf-8")):
        if document["kind"] in ("Deployment", "StatefulSet"):
            for container in document["spec"]["template"]["spec"]["containers"]:
                assert container["args"][0] in commands()
