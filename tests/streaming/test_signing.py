"""Signatures of webhooks, held against the specification's own example and against what a forger may change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UsageError
from streaming.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Signer

SECRET = "a secret of more than twenty-four bytes"


def test_a_signature_is_that_of_the_specification() -> None:
    """The vector that the specification's reference implementations test themselves with."""
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330)
    assert headers[SIGNATURE_HEADER] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(), st.integers(0, 2**33), st.text("abc_-", min_size=1))
def test_what_is_signed_verifies_and_no_part_of_it_can_be_changed(body: bytes, now: int, name: str) -> None:
    signer = Signer(SECRET)
    headers = signer.headers(name, body, now)
    assert signer.verify(headers, body, now + 299)
    assert not signer.verify(headers, body + b" ", now)
    assert not signer.verify(headers | {ID_HEADER: name + "x"}, body, now)
    assert not signer.verify(headers | {TIMESTAMP_HEADER: str(now + 1)}, body, now)
    assert not Signer(SECRET + "!").verify(headers, body, now)


def test_an_old_request_and_headers_that_make_no_sense_are_refused() -> None:
    signer = Signer(SECRET)
    headers = signer.headers("one", b"{}", 1_700_000_000)
    assert not signer.verify(headers, b"{}", 1_700_000_301)
    assert not signer.verify({}, b"{}", 1_700_000_000)
    assert not signer.verify(headers | {TIMESTAMP_HEADER: "٣"}, b"{}", 3)
    assert not signer.verify(headers | {SIGNATURE_HEADER: "v1,\udcff"}, b"{}", 1_700_000_000)


def test_one_of_several_signatures_suffices_while_a_secret_is_replaced() -> None:
    old, new = Signer(SECRET), Signer(SECRET + " of today")
    headers = old.headers("one", b"{}", 5)
    both = f"{new.headers('one', b'{}', 5)[SIGNATURE_HEADER]} {headers[SIGNATURE_HEADER]}"
    assert old.verify(headers | {SIGNATURE_HEADER: both}, b"{}", 5)


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "whsec_not base64 but long enough to be a secret"])
def test_a_secret_that_is_too_short_or_broken_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        Signer(secret)
    assert secret not in str(caught.value)
    assert "secret" in str(caught.value)
