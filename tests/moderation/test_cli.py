"""`swarmlight feed`: serving, and looking after the database, as somebody at the command line sees it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from moderation import cli
from streaming.cli import invoke, main
from streaming.config import load_config
from tests.moderation.builders import alert, line, pages


@pytest.fixture
def database(tmp_path: Path, clean_environ: None, fast_passwords: None) -> list[str]:
    return ["--database", f"sqlite:///{tmp_path / 'feed.db'}"]


def test_people_tokens_links_and_the_log(
    database: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert invoke(["feed", "user", "add", "ada", "--role", "lead", *database]) == 0
    assert invoke(["feed", "user", "add", "bob", "--no-password", *database]) == 0
    assert invoke(["feed", "user", "change", "bob", "--active", "no", *database]) == 0
    assert invoke(["feed", "user", "list", *database]) == 0
    told = capsys.readouterr().out
    assert re.search(r"ada +lead +active", told)
    assert re.search(r"bob +moderator +away", told)
    assert invoke(["feed", "token", "add", "ada", "--scope", "work", *database]) == 0
    assert capsys.readouterr().out.startswith("swl_")
    assert invoke(["feed", "link", "ada", "--page", "/alerts/c1", *database]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/enter\?token=\S+&next=/alerts/c1\n", capsys.readouterr().out)
    assert invoke(["feed", "verify-audit", *database]) == 0
    head = re.search(r"head (\w+)", capsys.readouterr().out)
    assert head is not None
    assert invoke(["feed", "forget", "sly", *database]) == 0
    assert invoke(["feed", "verify-audit", "--head", head.group(1), *database]) == 0
    assert invoke(["feed", "verify-audit", "--head", "0" * 64, *database]) == 1


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
    assert main(["feed", *arguments, *database]) in (1, 2)
    assert said in capsys.readouterr().err


class Session:
    """A feed that serves files, and somebody's browser that came in by the link it printed or by a cookie."""

    def __init__(self, folder: Path, feedback: str, cookies: CookieJar) -> None:
        program = [
            sys.executable, "-m", "streaming", "feed", "--alerts", str(folder / "alerts.jsonl"), "--details",
            str(folder / "details.jsonl"), "--feedback", feedback, "--database", f"sqlite:///{folder / 'feed.db'}",
            "--port", "0",
        ]  # fmt: skip
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SWARMLIGHT_")}
        self.process = subprocess.Popen(
            program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
        )
        assert self.process.stdout is not None
        self.base = self.process.stdout.readline().split()[-1]
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        self.csrf = ""

    def enter(self) -> None:
        """Follow the link that the very first start prints."""
        assert self.process.stdout is not None
        link = [self.process.stdout.readline() for _ in range(2)][-1]
        page = self.browser.open(link.strip(), timeout=20).read().decode()
        fields = dict(re.findall(r'name="(token|next)" value="([^"]*)"', page))
        self.browser.open(f"{self.base}/enter", urllib.parse.urlencode(fields).encode(), timeout=20)

    def page(self, path: str, words: str) -> str:
        """A page, once it has these words."""
        deadline = time.monotonic() + 20
        page = ""
        while words not in page:
            assert time.monotonic() < deadline, f"{path} never said {words!r}: {page[:2000]}"
            time.sleep(0.05)
            try:
                page = self.browser.open(f"{self.base}{path}", timeout=20).read().decode()
            except urllib.error.HTTPError:
                continue
        found = re.search(r'data-csrf="([^"]+)"', page)
        assert found is not None
        self.csrf = found.group(1)
        return page

    def ask(self, path: str, body: dict[str, str] | None = None) -> Any:
        """What the API answers."""
        headers = {"content-type": "application/json", "x-csrf-token": self.csrf}
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/api/v1{path}", sent, headers)
        return json.load(self.browser.open(request, timeout=20))


def test_serving_from_files_through_a_kill_to_the_last_decision(tmp_path: Path) -> None:
    feedback, cookies = tmp_path / "feedback.jsonl", CookieJar()
    (tmp_path / "alerts.jsonl").write_bytes(line(alert()) + line(alert("c2")) + line(alert("c3")))
    (tmp_path / "details.jsonl").write_bytes(b"".join(line(page) for page in pages()))
    # On a disk that is full, so that what is decided cannot leave before the kill.
    first = Session(tmp_path, "/dev/full", cookies)
    try:
        first.enter()
        first.page("/alerts/c1", "3 accounts")
        number = first.ask("/alerts/c1/decisions", {"decision": "llm_campaign", "reason": "one operator"})["id"]
        claimed = first.ask("/claim-next", {})["id"]
        first.process.kill()
    finally:
        first.process.kill()
        first.process.wait(20)
    with (tmp_path / "alerts.jsonl").open("ab") as file:
        file.write(line(alert("c4")))
    second = Session(tmp_path, str(feedback), cookies)
    try:
        # Decided is what was decided, held what was held, and what came meanwhile is there, once.
        assert "one operator" in second.page("/alerts/c1", "LLM campaign</strong>")
        second.page("/queue?state=all", "/alerts/c4")
        states = {each["id"]: each for each in second.ask("/alerts?state=all")["alerts"]}
        assert sorted(states) == ["c1", "c2", "c3", "c4"]
        assert states["c1"]["decision"] == "llm_campaign"
        assert [name for name, each in states.items() if each["claimed_by"]] == [claimed]
        assert second.ask("/claim-next", {})["id"] not in ("c1", claimed)
        with second.browser.open(f"{second.base}/api/v1/live", timeout=20) as live:
            assert live.readline().startswith(b"retry:")
    finally:
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(20) == 0
    (sent,) = feedback.read_text().splitlines()
    assert json.loads(sent)["id"] == number
    assert main(["feed", "verify-audit", "--database", f"sqlite:///{tmp_path / 'feed.db'}"]) == 0


def test_answers_are_not_held_back_by_nagle(clean_environ: None) -> None:
    """An answer goes out in two pieces; with Nagle's algorithm the second waits 40 ms for the first one's receipt."""
    listener = cli._listen(load_config(None, {"SWARMLIGHT_FEED__PORT": "0"}))

    async def accepted_with_no_delay() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            seen.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        async with await asyncio.start_server(accept, sock=listener):
            _, client = await asyncio.open_connection(*listener.getsockname())
            try:
                return await asyncio.wait_for(seen, 10)
            finally:
                client.close()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(asyncio.run, accepted_with_no_delay()).result() == 1
