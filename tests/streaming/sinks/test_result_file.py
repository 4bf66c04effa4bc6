"""Results take the place of earlier ones only when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import UsageError
from streaming.sinks.result_file import ResultFile


def test_a_file_is_replaced_when_it_is_complete_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    path.write_bytes(b"earlier")
    path.chmod(0o640)
    file = ResultFile(path, "--scores")
    file.write(b"new")
    file.close()
    assert path.read_bytes() == b"earlier"
    file.publish()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["scores"]
    assert file.abandon() is None


def test_what_is_abandoned_stays_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    path.write_bytes(b"earlier")
    file = ResultFile(path, "--scores")
    file.write(b"new")
    assert file.abandon() == tmp_path / "scores.partial"
    assert (path.read_bytes(), (tmp_path / "scores.partial").read_bytes()) == (b"earlier", b"new")


def test_nothing_is_left_of_nothing(tmp_path: Path) -> None:
    assert ResultFile(tmp_path / "scores", "--scores").abandon() is None
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"earlier")
    (tmp_path / "link").symlink_to("real")
    file = ResultFile(tmp_path / "link", "--scores")
    file.write(b"new")
    file.publish()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_full_disk_names_the_file() -> None:
    file = ResultFile(Path("/dev/full"), "--scores")
    with pytest.raises(UsageError, match="--scores '/dev/full' cannot be written: No space left"):
        file.write(b"x" * 1_000_000)
    assert file.abandon() is None


def test_standard_output_is_written_at_once_and_stays_open(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = ResultFile(Path("-"), "--scores")
    file.write(b"{}\n")
    file.publish()
    print("more", flush=True)
    assert capfdbinary.readouterr().out == b"{}\nmore\n"


@pytest.mark.parametrize("place", ["no/such", "folder"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=f"--scores .*{place}' cannot be written"):
        ResultFile(tmp_path / place, "--scores")
