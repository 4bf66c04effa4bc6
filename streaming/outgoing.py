"""HTTP to a service whose address somebody configured: checked, encrypted, bounded, and never led elsewhere.

`Endpoint` sends requests to one URL. Its host is looked up before every request, every address it has is held against
what is allowed, and the connection goes to one of those that were checked, so that a name that answers otherwise the
second time leads nowhere else. Redirects are not followed, proxies of the environment not used, certificates always
verified. URLs of webhooks often hold a secret in their path, so messages name the host alone.
"""

from __future__ import annotations

import email.utils
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from detector.errors import DeliveryError, UsageError
from streaming.logs import shown

USER_AGENT: Final = f"swarmlight/{version('swarmlight')}"

CONNECT_S: Final = 10.0
"""Longest wait for a connection; services on the internet answer in well under a second."""

ANSWER_S: Final = 30.0
"""Longest silence of a service that has the request: most allow their own workers this long."""

ANSWER_BYTES: Final = 1 << 20
"""Longest answer that is read; what we ask for is far shorter, and nobody may fill our memory."""

ALLOWED_BY: Final = '[sinks] internal_addresses = "allow"'
"""What an operator sets where alerts may go to internal addresses."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

Lookup: TypeAlias = Callable[[str, int], list[str]]
"""The addresses of a host and port. Raises OSError where it has none."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

RETRIED: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say `later`; all others below 500 are refusals."""


class HttpAnswer(NamedTuple):
    """What a service answered with a status below 300.

    Args:
        status: HTTP status.
        body: as it came.
        headers: with names in lower case.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system resolves it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet: none of this machine, its networks, or of a special use.

    IPv4 addresses inside IPv6 ones (mapped, 6to4, Teredo, NAT64) count as what they are.
    """
    try:
        parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed in _NAT64:
        parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    inner: list[Address] = [parsed]
    if isinstance(parsed, ipaddress.IPv6Address):
        inner += [each for each in (parsed.sixtofour, *(parsed.teredo or ())) if each is not None]
    return all(each.is_global and not each.is_multicast and not each.is_reserved for each in inner)


def checked_url(url: str, what: str, schemes: tuple[str, ...] = ("https", "http")) -> SplitResult:
    """The parts of a URL that can be used.

    Args:
        url: as it was given.
        what: names it in messages, without repeating it.
        schemes: that it may have.

    Raises:
        UsageError: it is none, or holds a user name, a password or a fragment.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in schemes or not host or port == 0 or any(ord(each) <= 32 or ord(each) > 126 for each in url):
        raise UsageError(f"{what}: give a URL that begins with {' or '.join(f'{each}://HOST' for each in schemes)}")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise UsageError(f"{what}: the URL holds a user name, a password or a fragment; leave them out")
    return parts


def checked_address(
    host: str,
    port: int,
    what: str,
    *,
    internal: bool,
    encrypted: bool,
    allowed_by: str = ALLOWED_BY,
    lookup: Lookup = look_up,
) -> str:
    """An address of a host that may be spoken to.

    Args:
        host: as the URL has it.
        port: likewise.
        what: names it in messages.
        internal: whether addresses that are not of the public internet may be spoken to.
        encrypted: whether the connection will be; one that is not may lead to an internal address only.
        allowed_by: what an operator sets to allow internal addresses, for messages.
        lookup: gives the addresses.

    Raises:
        DeliveryError: the host has none, or one that is not allowed.
    """
    try:
        found = lookup(host, port)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise DeliveryError(f"{what}: the host {shown(host)} cannot be found; is its name right?")
    inside = [each for each in found if not is_public(each)]
    if inside and not internal:
        raise DeliveryError(
            f"{what}: {shown(host)} has the address {shown(inside[0])}, which is not of the public "
            f"internet; where this is meant, set {allowed_by}",
            lasting=True,
        )
    if not encrypted and len(inside) < len(found):
        raise DeliveryError(
            f"{what}: {shown(host)} is on the public internet, where connections are encrypted: use https or wss",
            lasting=True,
        )
    return found[0]


class Endpoint:
    """One URL to which requests go, one after the other.

    Args:
        url: https, or http to an internal address that is allowed.
        what: names it in messages ("--sink webhook").
        internal: whether addresses that are not of the public internet may be spoken to.
        context: certificates and protocols of TLS; the system's own where None.
        lookup: gives the addresses of a host.
        connect_s: longest wait for a connection.
        answer_s: longest silence of the service.
        allowed_by: what sets `internal`, for messages.

    Raises:
        UsageError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        what: str,
        *,
        internal: bool = False,
        context: ssl.SSLContext | None = None,
        lookup: Lookup = look_up,
        connect_s: float = CONNECT_S,
        answer_s: float = ANSWER_S,
        allowed_by: str = ALLOWED_BY,
    ) -> None:
        parts = checked_url(url, what)
        if parts.scheme == "http" and not internal:
            raise UsageError(
                f"{what}: http is not encrypted; give an https URL, or allow internal addresses ({allowed_by}) and "
                "name one"
            )
        self.host = str(parts.hostname)
        """Named in messages in place of the URL."""
        self._what = what
        self._encrypted = parts.scheme == "https"
        self._port = parts.port or (443 if self._encrypted else 80)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._netloc = parts.netloc
        self._internal = internal
        self._allowed_by = allowed_by
        self._context = context if context is not None else ssl.create_default_context()
        self._lookup = lookup
        self._timeout = urllib3.Timeout(connect=connect_s, read=answer_s)
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._pool_address = ""

    def address(self) -> str:
        """An address of the host that may be spoken to.

        Raises:
            DeliveryError: the host has none, or one that is not allowed.
        """
        return checked_address(
            self.host,
            self._port,
            self._what,
            internal=self._internal,
            encrypted=self._encrypted,
            allowed_by=self._allowed_by,
            lookup=self._lookup,
        )

    def request(
        self,
        method: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        path: str | None = None,
        limit: int = ANSWER_BYTES,
    ) -> HttpAnswer:
        """Send one request and read its answer; nothing is tried again here.

        Args:
            method: of HTTP.
            body: what is sent, None for nothing.
            headers: besides `Host` and `User-Agent`.
            path: in place of the URL's own path and query.
            limit: longest answer, bytes.

        Raises:
            DeliveryError: no answer, one with a status from 300, or one that is too long.
        """
        answer = self.open(method, body, headers, path=path)
        try:
            data = answer.read(limit + 1)
            if len(data) <= limit:
                answer.drain_conn()
        except (HTTPError, OSError, ValueError) as error:
            self.close()
            raise self.unanswered(error) from None
        finally:
            answer.close() if answer.length_remaining else answer.release_conn()
        if len(data) > limit:
            raise DeliveryError(f"{self._what}: the answer of {shown(self.host)} is longer than {limit:,} bytes")
        return HttpAnswer(answer.status, data, _lower(answer))

    def open(
        self, method: str, body: bytes | None, headers: Mapping[str, str], *, path: str | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; its answer is read by the caller, who closes it.

        Args:
            method: of HTTP.
            body: what is sent, None for nothing.
            headers: besides `Host` and `User-Agent`.
            path: in place of the URL's own path and query.

        Raises:
            DeliveryError: no answer, or one with a status from 300.
        """
        pool = self._pool_of(self.address())
        sent = {"Host": self._netloc, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        try:
            answer = pool.urlopen(
                method,
                self._path if path is None else path,
                body=body,
                headers=sent,
                redirect=False,
                retries=False,
                timeout=self._timeout,
                preload_content=False,
                decode_content=False,
            )
        except (SSLError, HTTPError, OSError, ValueError) as error:
            self.close()
            raise self.unanswered(error) from None
        if answer.status >= 300:
            answer.close()
            raise self._refused(answer.status, _lower(answer))
        return answer

    def unanswered(self, error: BaseException) -> DeliveryError:
        """The error for an answer that did not come, or broke off."""
        return DeliveryError(f"{self._what}: {shown(self.host)} did not answer: {why(error)}")

    def close(self) -> None:
        """Close the connection."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _pool_of(self, address: str) -> urllib3.HTTPConnectionPool:
        if self._pool is not None and self._pool_address == address:
            return self._pool
        self.close()
        if self._encrypted:
            self._pool = urllib3.HTTPSConnectionPool(
                address,
                self._port,
                maxsize=1,
                ssl_context=self._context,
                server_hostname=self.host,
                assert_hostname=self.host,
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(address, self._port, maxsize=1)
        self._pool_address = address
        return self._pool

    def _refused(self, status: int, headers: Mapping[str, str]) -> DeliveryError:
        advice = "redirects are not followed: name the place itself" if status < 400 else "it is tried again"
        lasting = status < 500 and status not in RETRIED
        if lasting and status >= 400:
            advice = "see what it asks for, and whether URL and secret are right"
        return DeliveryError(
            f"{self._what}: {shown(self.host)} answered with status {status}; {advice}",
            lasting=lasting,
            wait_s=retry_after(headers, time.time()),
        )


def retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that an answer asks to wait, from `Retry-After` (RFC 9110, 10.2.3); None where it does not say.

    Args:
        headers: with names in lower case.
        now_s: seconds since 1970.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_s) if value else None
    except (ValueError, TypeError, OverflowError):
        return None


def _lower(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def why(error: BaseException) -> str:
    """What went wrong with a connection, without addresses and paths."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text or "certificate" in text.lower():
        return "its certificate is not one of this host that we trust"
    if "timed out" in text.lower() or "Timeout" in type(error).__name__:
        return "it took too long"
    return type(error).__name__
