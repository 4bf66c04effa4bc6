"""Snapshots on storage that every process reaches: object storage or a shared folder, by an fsspec URL (`[state] url`).

Where each process has a disk of its own and the log's beginning is gone, a process with an empty disk has nothing to
start from. So the active process copies each of its snapshots to the URL, and whoever starts takes the newest there
that is newer than its own. A copy consists of objects under one name; the manifest, with the SHA-256 of every other
file, is written last, so that a copy without one is not there, and one that was cut short or changed is refused.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from detector.errors import ConfigError, LogError
from streaming.kafka.snapshots import MANIFEST, PRIVATE, Snapshot, SnapshotManifest, read_manifest

log = logging.getLogger(__name__)

KEPT: Final = 3
"""Copies that are kept: one more than on disk, as a process may be reading the oldest."""


class SharedSnapshots:
    """The copies of one deployment.

    Args:
        url: of a folder, as fsspec writes it: `s3://bucket/folder`, `gs://...`, `file:///mnt/shared`.
        prefix: of the deployment's topics.

    Raises:
        ConfigError: there is no such storage, or the package that reaches it is not installed.
    """

    def __init__(self, url: str, prefix: str) -> None:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

            self._files, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"[state] url = {url!r} cannot be used: {error}. Give a URL that fsspec knows, and install the package "
                "that reaches it beside Swarmlight (s3fs for s3://, gcsfs for gs://, adlfs for abfs://)"
            ) from error
        self._folder = f"{root.rstrip('/')}/{prefix}assess"
        self._url = url

    def all(self) -> list[tuple[str, SnapshotManifest]]:
        """Name and manifest of every complete copy, in no order.

        Raises:
            LogError: the storage does not answer.
        """
        with self._explained("asked for snapshots"):
            self._files.invalidate_cache()
            try:
                places: list[str] = self._files.ls(self._folder, detail=False)
            except FileNotFoundError:
                return []
            found = []
            for place in places:
                name = place.rstrip("/").rsplit("/", 1)[-1]
                try:
                    manifest = read_manifest(self._files.cat_file(f"{self._folder}/{name}/{MANIFEST}"), name)
                except FileNotFoundError:
                    continue  # not complete, or just removed
                if manifest is not None:
                    found.append((name, manifest))
            return found

    def put(self, snapshot: Snapshot) -> None:
        """Copy a snapshot from disk, and remove copies that are too many.

        Raises:
            LogError: the storage does not take it.
        """
        manifest = snapshot.manifest
        name = f"snapshot-{manifest.tick_ms:015d}-{manifest.run[:8]}"
        with self._explained("given a snapshot"):
            target = f"{self._folder}/{name}"
            self._files.makedirs(f"{target}/state", exist_ok=True)
            digests = {}
            for file in sorted(each for each in snapshot.state.rglob("*") if each.is_file()):
                relative = file.relative_to(snapshot.folder).as_posix()
                self._files.put_file(str(file), f"{target}/{relative}")
                digests[relative] = _digest(file)
            body = msgspec.json.encode(msgspec.structs.replace(manifest, files=digests))
            self._files.pipe_file(f"{target}/{MANIFEST}", body)
        ours = sorted((each for each in self.all() if each[1].run == manifest.run), key=lambda each: -each[1].tick_ms)
        with self._explained("asked to remove an old snapshot"):
            for old, _ in ours[KEPT:]:
                # The manifest first: what has none is not there.
                self._files.rm(f"{self._folder}/{old}/{MANIFEST}")
                self._files.rm(f"{self._folder}/{old}", recursive=True)

    def fetch(self, name: str, manifest: SnapshotManifest, into: Path) -> None:
        """Copy a snapshot to the folder `into`, which does not exist yet.

        Args:
            name: of the copy.
            manifest: that `all` gave.
            into: gets its name when everything is there.

        Raises:
            LogError: the storage does not give it, or what it gives is not what was put there.
        """
        unfinished = into.parent / f"unfinished-{uuid.uuid4().hex}-{into.name}"
        try:
            into.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            unfinished.mkdir(mode=PRIVATE)
            for relative, digest in manifest.files.items():
                file = unfinished / relative
                if unfinished not in file.resolve().parents:
                    raise LogError(f"snapshot {name} at [state] url names a file outside its folder; remove it")
                file.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
                with self._explained(f"asked for {name}"):
                    self._files.get_file(f"{self._folder}/{name}/{relative}", str(file))
                if _digest(file) != digest:
                    raise LogError(f"{relative} of snapshot {name} at [state] url is not what was written there")
            (unfinished / MANIFEST).write_bytes(msgspec.json.encode(manifest))
            unfinished.rename(into)
        except OSError as error:
            raise LogError(f"snapshot {name} cannot be kept in {into.parent}: {error.strerror}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Whatever a storage's client raises, and each has errors of its own, as an error that says what to do."""
        try:
            yield
        except LogError:
            raise
        except Exception as error:
            raise LogError(
                f"[state] url = {self._url!r}, {what}, failed: {type(error).__name__}: {error}; look whether this "
                "process may read and write there"
            ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
