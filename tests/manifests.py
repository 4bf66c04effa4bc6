"""What `kubectl kustomize` makes of deploy/kubernetes, as far as its kustomizations go: resources, a namespace, and
patches of operations (RFC 6902) on one object each."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import pytest

yaml: Any = pytest.importorskip("yaml")

KUBERNETES: Final = Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"

BASE: Final = KUBERNETES / "base"

OVERLAYS: Final = sorted(path.parent for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))

FIELDS: Final = frozenset({"apiVersion", "kind", "namespace", "resources", "patches"})
"""Of a kustomization, that are understood here."""


def built(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization.

    Raises:
        AssertionError: it has something that this does not understand, or that finds no object.
    """
    told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(told) <= FIELDS, f"{folder.name}: not understood: {set(told) - FIELDS}"
    objects: list[dict[str, Any]] = []
    for resource in told["resources"]:
        path = (folder / resource).resolve()
        if path.is_dir():
            objects += built(path)
        else:
            objects += [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]
    for patch in told.get("patches", []):
        wanted = patch["target"]
        (target,) = [
            each for each in objects if (each["kind"], each["metadata"]["name"]) == (wanted["kind"], wanted["name"])
        ]
        for operation in yaml.safe_load(patch["patch"]):
            apply(target, **operation)
    for each in objects:
        if "namespace" in told:
            each["metadata"]["namespace"] = told["namespace"]
    return copy.deepcopy(objects)


def apply(target: dict[str, Any], op: str, path: str, value: Any = None) -> None:
    """One operation of RFC 6902; what is to be replaced or removed has to be there.

    Args:
        target: the object.
        op: add, replace or remove.
        path: where.
        value: of add and replace.
    """
    *places, last = path.strip("/").split("/")
    at: Any = target
    for place in places:
        at = at[int(place)] if isinstance(at, list) else at[place]
    assert op == "add" or last in at, f"nothing at {path}"
    if op == "remove":
        del at[last]
    else:
        at[last] = value
