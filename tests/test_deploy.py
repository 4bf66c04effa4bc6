"""What is deployed speaks of metrics, keys and commands that exist."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from moderation.cli import _settings
from moderation.feed_metrics import FeedMetrics
from streaming.cli import commands
from streaming.config import keys, load_config
from streaming.worker_metrics import Metrics
from tests.manifests import BASE, built

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"

yaml: Any = pytest.importorskip("yaml")


def metric_names() -> set[str]:
    """Every sample name a worker or a feed can expose; histograms and counters with their suffixes."""
    names = set()
    for registry in (Metrics().registry, FeedMetrics().registry):
        for family in registry.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names


BOARDS = ["grafana/swarmlight.json", "grafana/swarmlight-feed.json"]


@pytest.mark.parametrize("name", ["prometheus/alerts.yaml", *BOARDS])
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
    metrics.groups_by_chance("all", 0.0, 0.0)
    feed = FeedMetrics()
    feed.failure("ingest")
    registries = (metrics.registry, feed.registry)
    known = {label for each in registries for family in each.collect() for sample in family.samples
             for label in sample.labels}  # fmt: skip
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    assert sum(len(group["rules"]) for group in rules["groups"]) > 5
    for group in rules["groups"]:
        for rule in group["rules"]:
            used = {label.strip() for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in by.split(",")}
            assert used <= known | {"job"}, rule["alert"]
            assert rule["annotations"]["summary"]


def test_every_rule_has_its_section_in_the_runbook() -> None:
    page = (ROOT / "docs" / "how-to" / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["alert"] for rule in rules} == set(sections)
    for rule in rules:
        said = sections[rule["alert"]]
        assert "**Means:**" in said
        assert "**Do:**" in said
        # What MkDocs makes of the heading.
        assert rule["annotations"]["runbook_url"] == f"how-to/runbook.html#{rule['alert'].lower()}"


@pytest.mark.parametrize("name", BOARDS)
def test_the_dashboard_is_one_that_grafana_reads(name: str) -> None:
    board = json.loads((DEPLOY / name).read_text(encoding="utf-8"))
    assert board["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids) > 5
    assert all(panel["targets"] and panel["title"] for panel in board["panels"])


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: str(path.name))
def test_every_manifest_is_yaml(path: Path) -> None:
    assert all(document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_configuration_in_the_manifest_loads(tmp_path: Path) -> None:
    documents = built(BASE)
    (config_map,) = [each for each in documents if each["kind"] == "ConfigMap"]
    path = tmp_path / "swarmlight.toml"
    path.write_text(config_map["data"]["swarmlight.toml"], encoding="utf-8")
    config = load_config(path, {})
    assert config.kafka.standby == "warm"
    assert config.feed.database_password_file
    # What listens on every address has to know its name, or no browser is answered.
    assert "localhost" in _settings(config).hosts
    assert _settings(config).secure
    assert set(tomllib.loads(path.read_text())) <= {key.section or key.name for key in keys()}


def test_variables_of_compose_and_image_are_keys() -> None:
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "Containerfile").read_text()
    values = dict(re.findall(r'(SWARMLIGHT_\w+)[:=] ?"?([^"\s]+)', text))
    assert len(values) >= 4
    load_config(None, values)


def test_compose_starts_commands_that_exist_and_prometheus_scrapes_them() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    ours = {name: each for name, each in services.items() if "build" in each}
    for each in ours.values():
        assert each.get("command", ["worker"])[0] in commands()
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    assert {name for job in scraped for name in job["dns_sd_configs"][0]["names"]} == set(ours)
    # A dashboard that no container is given is seen by nobody.
    boards = {Path(each.partition(":")[0]).name for each in services["grafana"]["volumes"]}
    assert {path.name for path in (DEPLOY / "grafana").iterdir()} == boards
    assert not re.search(r"PASSWORD: ", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def test_pods_run_commands_that_exist() -> None:
    documents = built(BASE)
    pods = [each["spec"]["template"]["spec"] for each in documents if each["kind"] in ("Deployment", "StatefulSet")]
    started = {container["args"][0] for pod in pods for container in pod["containers"]}
    assert started
    assert started <= set(commands())


def test_what_must_not_stop_survives_a_drained_or_dead_node() -> None:
    """Budgets and network policies choose pods that exist, and no two processes of assess share a node."""
    documents = built(BASE)
    pods = [each["spec"]["template"] for each in documents if each["kind"] in ("Deployment", "StatefulSet")]
    labels = [pod["metadata"]["labels"].items() for pod in pods]
    guards = [each for each in documents if each["kind"] in ("PodDisruptionBudget", "NetworkPolicy")]
    assert {each["kind"] for each in guards} == {"PodDisruptionBudget", "NetworkPolicy"}
    for guard in guards:
        wanted = (guard["spec"].get("selector") or guard["spec"]["podSelector"])["matchLabels"].items()
        assert any(wanted <= each for each in labels), guard["metadata"]["name"]
    (assess,) = [pod for pod in pods if pod["metadata"]["labels"].get("stage") == "assess"]
    (apart,) = assess["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["labelSelector"]["matchLabels"].items() <= assess["metadata"]["labels"].items()
    policies = [each["spec"] for each in guards if each["kind"] == "NetworkPolicy"]
    reached = {each["podSelector"]["matchLabels"]["app"]: each["ingress"][0]["ports"][0]["port"] for each in policies}
    assert reached == {"swarmlight": 9464, "swarmlight-feed": 8080}


def test_the_image_names_one_release_of_its_base_and_says_whether_it_is_well() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert all(re.search(r":3\.11\.\d+-slim-\w+$", base) for base in bases)
    assert "HEALTHCHECK" in text
    assert "/healthz" in text
