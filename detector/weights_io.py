"""Model files: one `NAME.safetensors` of arrays and one `NAME.json` that says what they are.

The JSON carries the SHA-256 of the arrays' bytes, so that a file cut short, flipped or paired with another's JSON is
refused as a whole: nothing half-loads. There is no pickle anywhere; neither file can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from detector.errors import ModelError

FORMAT: Final = 1
"""Version of the pair of files; another number is refused."""

Arrays = dict[str, NDArray[Any]]


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in {".safetensors", ".json"} else path


def _beside(stem: Path, suffix: str) -> Path:
    return stem.parent / (stem.name + suffix)


def _replace(path: Path, body: bytes) -> None:
    """Write beside `path` and rename, so that a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(body)
    Path(name).chmod(0o644)
    Path(name).replace(path)


def save_weights(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write `path`.safetensors and `path`.json (a suffix of either kind in `path` is dropped).

    Args:
        path: where to, without suffix; the folder is made.
        arrays: name -> array, of any shape and numeric dtype.
        meta: JSON-serialisable; must have `name` and `version`. `format` and `sha256` are added.

    Raises:
        ModelError: `meta` lacks a name or a version.
    """
    for key in ("name", "version"):
        if not isinstance(meta.get(key), str) or not meta[key]:
            raise ModelError(f"cannot save {path}: its meta has no {key!r}; give it one")
    stem = _stem(path)
    stem.parent.mkdir(parents=True, exist_ok=True)
    body = save({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())})
    described = {**meta, "format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}
    _replace(_beside(stem, ".safetensors"), body)
    text = json.dumps(described, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    _replace(_beside(stem, ".json"), text.encode() + b"\n")


def load_weights(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the meta of `path` (with or without a suffix), checked against each other.

    Raises:
        ModelError: a file is missing or unreadable, the JSON is no object of this format, the checksum differs, the
            arrays cannot be read, or a float array holds a NaN or an infinity.
    """
    stem = _stem(path)
    try:
        text = _beside(stem, ".json").read_bytes()
        body = _beside(stem, ".safetensors").read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read the model {stem.name!r} in {stem.parent}: {error.strerror}; "
            f"it needs {stem.name}.safetensors and {stem.name}.json (swarmlight train writes both)"
        ) from error
    again = "copy or train it again"
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{stem}.json is not JSON: the file is damaged; {again}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ModelError(f"{stem}.json is not of model format {FORMAT}: it is of another release; {again}")
    for key in ("name", "version", "sha256"):
        if not isinstance(meta.get(key), str):
            raise ModelError(f"{stem}.json has no {key!r}: the file is damaged; {again}")
    if hashlib.sha256(body).hexdigest() != meta["sha256"]:
        raise ModelError(f"{stem}.safetensors does not match the checksum in {stem.name}.json: damaged; {again}")
    try:
        arrays: Arrays = load(body)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"{stem}.safetensors cannot be read as safetensors: damaged; {again}") from error
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not bool(np.isfinite(value).all()):
            raise ModelError(f"{stem}.safetensors holds a value that is no number in {name!r}; {again}")
    return arrays, meta


def take(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...], path: Path) -> NDArray[Any]:
    """One array of a model file, its shape checked.

    Args:
        arrays: of the file.
        name: of the array.
        shape: what it must have; None is any length along that axis.
        path: of the file, for messages.

    Raises:
        ModelError: it is missing or of another shape.
    """
    value = arrays.get(name)
    if value is None:
        raise ModelError(f"the model in {path} has no array {name!r}: it is of another release; train it again")
    fits = value.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(value.shape, shape, strict=True)
    )
    if not fits:
        raise ModelError(f"{name!r} in {path} has shape {value.shape}, not {shape}: another release; train it again")
    return value
