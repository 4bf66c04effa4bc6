"""HTTP to configured services: where it may go, what it may read, and what its errors say."""

from __future__ import annotations

import datetime
import ssl

import pytest

from detector.errors import DeliveryError, UsageError
from streaming.outgoing import Endpoint, checked_url, is_public, retry_after
from tests.streaming.receivers import OK, Receiver, answers


def inside(url: str, **more: object) -> Endpoint:
    return Endpoint(url, "the test", internal=True, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe",
     "2002:a00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "no address"],
)  # fmt: skip
def test_addresses_inside_and_of_special_use_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


def test_a_name_that_leads_inside_is_refused_before_anything_is_sent() -> None:
    with Receiver() as receiver:
        endpoint = Endpoint(f"https://hooks.example:{receiver.port}/", "the test", lookup=lambda *_: ["127.0.0.1"])
        with pytest.raises(DeliveryError, match=r"127\.0\.0\.1.*internal_addresses") as caught:
            endpoint.request("POST", b"{}", {})
        assert caught.value.lasting
        assert receiver.connections == 0


def test_a_name_with_one_address_inside_among_public_ones_is_refused() -> None:
    endpoint = Endpoint("https://hooks.example/", "the test", lookup=lambda *_: ["8.8.8.8", "169.254.169.254"])
    with pytest.raises(DeliveryError, match="not of the public"):
        endpoint.address()


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """A name that answers otherwise the second time leads nowhere else: it is asked once for each request."""
    asked = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with Receiver() as receiver:
        endpoint = inside(f"http://hooks.example:{receiver.port}/a?b=c", lookup=lookup)
        assert endpoint.request("POST", b"{}", {}).status == 200
        assert endpoint.request("POST", b"{}", {}).status == 200
    assert asked == ["hooks.example"] * 2
    assert [each.headers["host"] for each in receiver.requests] == [f"hooks.example:{receiver.port}"] * 2
    assert receiver.requests[0].path == "/a?b=c"
    assert receiver.connections == 1


def test_plain_http_is_for_inside_only() -> None:
    with pytest.raises(UsageError, match="https"):
        Endpoint("http://hooks.example/", "the test")
    with pytest.raises(DeliveryError, match="use https or wss"):
        inside("http://hooks.example/", lookup=lambda *_: ["8.8.8.8"]).address()


def test_a_redirect_is_not_followed() -> None:
    with Receiver() as elsewhere, Receiver(lambda _: (307, {"Location": elsewhere.url}, b"")) as receiver:
        with pytest.raises(DeliveryError, match="status 307; redirects are not followed") as caught:
            inside(receiver.url).request("POST", b"{}", {})
        assert caught.value.lasting
        assert elsewhere.requests == []


def test_an_answer_that_is_too_long_is_not_read() -> None:
    with (
        Receiver(lambda _: (200, {}, b"x" * 5000)) as receiver,
        pytest.raises(DeliveryError, match="longer than 1,000 bytes"),
    ):
        inside(receiver.url).request("GET", None, {}, limit=1000)


@pytest.mark.parametrize(
    ("status", "lasting"), [(400, True), (401, True), (404, True), (410, True), (408, False), (425, False),
                            (429, False), (500, False), (503, False)],
)  # fmt: skip
def test_a_status_says_whether_it_helps_to_try_again(status: int, lasting: bool) -> None:
    with Receiver(lambda _: (status, {"Retry-After": "7"}, b"no")) as receiver:
        with pytest.raises(DeliveryError, match=f"127.0.0.1 answered with status {status}") as caught:
            inside(receiver.url).request("POST", b"{}", {})
        assert (caught.value.lasting, caught.value.wait_s) == (lasting, 7.0)


def test_after_a_hang_up_the_next_request_connects_again() -> None:
    with Receiver(answers(OK, (0, {}, b""), OK)) as receiver:
        endpoint = inside(receiver.url)
        endpoint.request("POST", b"1", {})
        with pytest.raises(DeliveryError, match="did not answer"):
            endpoint.request("POST", b"2", {})
        endpoint.request("POST", b"3", {})
        assert [each.body for each in receiver.requests] == [b"1", b"2", b"3"]


def test_a_server_without_a_certificate_of_the_name_is_not_spoken_to() -> None:
    """The receiver speaks no TLS at all; one with a foreign certificate fails in the same handshake."""
    with Receiver() as receiver:
        endpoint = Endpoint(
            f"https://127.0.0.1:{receiver.port}/secret-path", "the test", internal=True, connect_s=2, answer_s=2
        )
        with pytest.raises(DeliveryError, match="did not answer") as caught:
            endpoint.request("POST", b"{}", {})
        assert "secret-path" not in str(caught.value)
        assert receiver.requests == []
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    "url",
    ["", "hooks.example", "ftp://hooks.example/", "https://", "https:///path", "https://a b/", "https://h:0/",
     "https://h:99999/", "https://[::1/", "https://user:pw@hooks.example/", "https://hooks.example/#part",
     "https://hooks.example/\r\nX: y"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match="the test") as caught:
        checked_url(url, "the test")
    assert "pw" not in str(caught.value)


def test_a_date_in_retry_after_is_understood() -> None:
    then = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
    assert retry_after({"retry-after": "Fri, 01 May 2026 00:01:00 GMT"}, then.timestamp()) == 60.0
    assert retry_after({"retry-after": "soon"}, 0.0) is None
    assert retry_after({}, 0.0) is None
