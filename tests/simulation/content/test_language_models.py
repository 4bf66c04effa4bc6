"""An endpoint is asked as OpenAI's protocol has it, again when it is busy, and its key shows up nowhere.

A local model writes reproducibly, and one that is not there is refused with what to do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from detector.errors import SwarmlightError, UsageError
from simulation.content.base import Request
from simulation.content.language_models import ChatEndpoint, LocalModel, tidy
from simulation.content.writer import Personas

KEY = "sk-not-to-be-seen"


class FakeServer(ThreadingHTTPServer):
    """Answers chat completions; `trouble` are status codes that come first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.trouble: list[int] = []
        self.answer: bytes | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, FakeServer)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.bodies.append(body)
        server.headers.append(self.headers["Authorization"])
        status = server.trouble.pop(0) if server.trouble else 200
        content = f'"{body["messages"][1]["content"][:20]}\n#{body["seed"]}"'
        answer = server.answer or json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(404 if self.path != "/v1/chat/completions" else status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    thread = threading.Thread(target=fake.serve_forever, daemon=True)
    thread.start()
    yield fake
    fake.shutdown()
    fake.server_close()
    thread.join()


def endpoint(server: FakeServer, waits: list[float] | None = None) -> ChatEndpoint:
    slept = [] if waits is None else waits
    return ChatEndpoint(server.address, "tiny", Personas.shipped(), 7, key=KEY, sleep=slept.append)


def test_every_request_is_answered_in_order_with_persona_model_and_seed(server: FakeServer) -> None:
    asked = [Request(i % 3, i, "reply", before=f"text {i}") for i in range(20)]
    found = endpoint(server).write(asked)
    assert [text.words.split("#")[1] for text in found if text] == [str(7 * 1_000_003 + i) for i in range(20)]
    body = server.bodies[0]
    assert body["model"] == "tiny"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert set(server.headers) == {f"Bearer {KEY}"}


def test_a_busy_endpoint_is_asked_again_after_growing_waits(server: FakeServer) -> None:
    server.trouble = [429, 503]
    waits: list[float] = []
    assert endpoint(server, waits).write([Request(0, 0, "post")])[0] is not None
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (500, 5)])
def test_one_that_refuses_is_given_up_without_its_key_in_the_message(
    server: FakeServer, status: int, tries: int
) -> None:
    server.trouble = [status] * 9
    with pytest.raises(SwarmlightError, match=str(status)) as caught:
        endpoint(server).write([Request(0, 0, "post")])
    assert len(server.bodies) == tries
    assert KEY not in str(caught.value)


def test_an_answer_that_is_none_is_refused(server: FakeServer) -> None:
    server.answer = b'{"error": "no"}'
    with pytest.raises(SwarmlightError, match="no chat completion"):
        endpoint(server).write([Request(0, 0, "post")])


def test_an_endpoint_that_is_away_is_reported() -> None:
    away = ChatEndpoint("http://127.0.0.1:9/v1", "m", Personas.shipped(), 0, sleep=lambda _: None)
    with pytest.raises(SwarmlightError, match="cannot be reached"):
        away.write([Request(0, 0, "post")])


@pytest.mark.parametrize("base", ["file:///etc/passwd", "localhost:80", ""])
def test_addresses_that_are_none_are_refused(base: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        ChatEndpoint(base, "m", Personas.shipped(), 0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('"hi there"', "hi there"),
        ("a\n b", "a b"),
        ("“so”", "so"),
        ('say "no" now', 'say "no" now'),
        ('"', '"'),
        ("", ""),
    ],
)
def test_answers_are_tidied(answer: str, words: str) -> None:
    assert tidy(answer) == words


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of two small layers with a byte vocabulary, saved as transformers saves one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: i for i, letter in enumerate(["<end>", *letters])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel()
    core.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=core, eos_token="<end>").save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=len(letters) + 1, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=1024, eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    return folder


def test_a_folder_of_transformers_writes_and_writes_the_same_again(tiny: Path) -> None:
    asked = [Request(i, i, "post") for i in range(3)]
    texts = [LocalModel(str(tiny), Personas.shipped(), seed, max_tokens=12).write(asked) for seed in (1, 1, 2)]
    assert len(texts[0]) == 3
    assert texts[0] == texts[1] != texts[2]


def test_models_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model"):
        LocalModel(str(tmp_path / "none"), Personas.shipped(), 0)
    with pytest.raises(UsageError, match="cannot be loaded"):
        LocalModel(str(tmp_path), Personas.shipped(), 0)
