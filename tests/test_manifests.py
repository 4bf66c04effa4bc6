"""Kubernetes objects and the Compose file are what their schemas allow, the base and each overlay of it."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from streaming.worker_metrics import Metrics
from tests.manifests import BASE, KUBERNETES, OVERLAYS, apply, built

yaml: Any = pytest.importorskip("yaml")

COMPOSE: Final = KUBERNETES.parent / "compose.yaml"

VERSIONS: Final = ("1.31", "1.37")
"""Of Kubernetes: one that is still run in places, and the newest that the schemas know."""


PLACES: Final = [(BASE, VERSIONS[0]), *((folder, VERSIONS[-1]) for folder in (BASE, *OVERLAYS))]


@pytest.mark.parametrize(("folder", "version"), PLACES, ids=[f"{folder.name} {version}" for folder, version in PLACES])
def test_every_object_is_what_its_schema_allows(folder: Path, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    objects = built(folder)
    assert len(objects) >= 10
    for each in objects:
        validate(each, version, strict=True)


def test_a_field_that_there_is_not_is_refused() -> None:
    module = pytest.importorskip("kubernetes_validate")
    (budget, *_) = [each for each in built(BASE) if each["kind"] == "PodDisruptionBudget"]
    budget["spec"]["maxUnavailble"] = 1
    with pytest.raises(module.ValidationError):
        module.validate(budget, VERSIONS[-1], strict=True)


def compose_problems(told: Any) -> list[str]:
    try:
        package = distribution("check-jsonschema")
    except PackageNotFoundError:
        pytest.skip("needs check-jsonschema")
    path = Path(str(package.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")))
    schema = json.loads(path.read_text(encoding="utf-8"))
    return [error.message for error in Draft202012Validator(schema).iter_errors(told)]


def test_the_compose_file_is_what_its_schema_allows() -> None:
    told = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    assert compose_problems(told) == []
    told["services"]["worker"]["restrt"] = "always"
    assert compose_problems(told)


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def test_on_one_node_nothing_waits_for_a_second_one() -> None:
    objects = built(KUBERNETES / "overlays" / "one-node")
    assess = named(objects, "StatefulSet", "swarmlight-assess")
    assert "affinity" not in assess["spec"]["template"]["spec"]
    assert assess["spec"]["replicas"] == 1
    assert {each["metadata"]["namespace"] for each in objects} == {"swarmlight"}


def test_what_scales_is_there_and_is_set_by_the_scaler_alone() -> None:
    objects = built(KUBERNETES / "overlays" / "scaled")
    scaler = named(objects, "HorizontalPodAutoscaler", "swarmlight-score")["spec"]
    target = named(objects, scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"]
    (metric,) = [each["external"]["metric"] for each in scaler["metrics"]]
    metrics = Metrics()
    metrics.lag("score", {0: 1}, 1.0)
    assert metrics.registry.get_sample_value(metric["name"], {"partition": "0", **metric["selector"]["matchLabels"]})


def test_an_operation_on_what_is_not_there_is_an_error() -> None:
    with pytest.raises(AssertionError, match="nothing at"):
        apply({"spec": {}}, "remove", "/spec/replicas")
