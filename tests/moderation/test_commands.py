"""`swarmlight feed`: serving, and looking after the database, as somebody at the command line sees it."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from moderation.commands.feed import command
from streaming.cli import main
from tests.moderation.builders import alert, line, pages


@pytest.fixture
def database(tmp_path: Path, clean_environ: None, fast_passwords: None) -> list[str]:
    return ["--database", f"sqlite:///{tmp_path / 'feed.db'}"]


def test_people_tokens_links_and_the_log(
    database: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert command(["user", "add", "ada", "--role", "lead", *database]) == 0
    assert command(["user", "add", "bob", "--no-password", *database]) == 0
    assert command(["user", "change", "bob", "--active", "no", *database]) == 0
    assert command(["user", "list", *database]) == 0
    told = capsys.readouterr().out
    assert re.search(r"ada +lead +active", told)
    assert re.search(r"bob +moderator +away", told)
    assert command(["token", "add", "ada", "--scope", "work", *database]) == 0
    assert capsys.readouterr().out.startswith("swl_")
    assert command(["link", "ada", "--page", "/alerts/c1", *database]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/enter\?token=\S+&next=/alerts/c1\n", capsys.readouterr().out)
    assert command(["verify-audit", *database]) == 0
    head = re.search(r"head (\w+)", capsys.readouterr().out)
    assert head is not None
    assert command(["forget", "sly", *database]) == 0
    assert command(["verify-audit", "--head", head.group(1), *database]) == 0
    assert command(["verify-audit", "--head", "0" * 64, *database]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say where alerts come from"),
        (["--kafka", "--alerts", "x"], "leave out"),
        (["--alerts", "x", "--port", "70000"], "0 to 65535"),
        (["--alerts", "x", "--host", "0.0.0.0", "--port", "0"], "public_url"),
        (["user", "add", "two words", "--no-password"], "a name has"),
        (["link", "nobody"], "nobody of that name"),
        (["user", "add", "ada", "--role", "boss"], ""),
    ],
)
def test_what_cannot_be_done_is_said(
    database: list[str], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["feed", *arguments, *database])
    except SystemExit as stopped:
        status = int(str(stopped.code))
    assert status in (1, 2)
    assert said in capsys.readouterr().err


def test_serving_from_files_to_the_last_decision(tmp_path: Path) -> None:
    alerts, feedback = tmp_path / "alerts.jsonl", tmp_path / "feedback.jsonl"
    details = tmp_path / "details.jsonl"
    alerts.write_bytes(line(alert()))
    details.write_bytes(b"".join(line(page) for page in pages()))
    program = [
        sys.executable, "-m", "streaming", "feed", "--alerts", str(alerts), "--details", str(details), "--feedback",
        str(feedback), "--database", f"sqlite:///{tmp_path / 'feed.db'}", "--port", "0",
    ]  # fmt: skip
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SWARMLIGHT_")}
    served = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ)
    try:
        assert served.stdout is not None
        told = [served.stdout.readline() for _ in range(3)]
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        browser.open(told[2].strip(), timeout=20)
        base = told[0].split()[-1]
        deadline = time.monotonic() + 20
        page = ""
        while "3 accounts" not in page and time.monotonic() < deadline:
            time.sleep(0.1)
            try:
                page = browser.open(f"{base}/alerts/c1", timeout=20).read().decode()
            except urllib.error.HTTPError:
                continue
        csrf = re.search(r'data-csrf="([^"]+)"', page)
        assert csrf is not None
        body = json.dumps({"decision": "llm_campaign", "reason": "one operator"}).encode()
        headers = {"content-type": "application/json", "x-csrf-token": csrf.group(1)}
        request = urllib.request.Request(f"{base}/api/v1/alerts/c1/decisions", body, headers)
        number = json.load(browser.open(request, timeout=20))["id"]
        with browser.open(f"{base}/api/v1/live", timeout=20) as live:
            assert live.readline().startswith(b"retry:")
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 0
    (sent,) = feedback.read_text().splitlines()
    assert json.loads(sent)["id"] == number
