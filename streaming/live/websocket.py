"""A WebSocket to a platform: checked address, verified certificate, bounded frames, and errors in our words."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from detector.errors import DeliveryError, UsageError
from streaming.logs import shown
from streaming.outgoing import CONNECT_S, RETRIED, USER_AGENT, Lookup, checked_address, checked_url, look_up, why
from streaming.sources.events import RECORD_BYTES

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

FRAME_BYTES: Final = RECORD_BYTES
"""Longest message that is read: as long as the longest record of a file. Platforms allow a tenth of it."""

FRAMES_WAITING: Final = 4
"""Messages that the connection holds before it stops to read: few, as each may be of `FRAME_BYTES`."""

PING_S: Final = 20.0
"""Between two pings, and the longest wait for an answer: a connection that died in silence is noticed within 40 s."""

RECEIVE_S: Final = 0.5
"""Longest wait for a message before it is looked whether to stop."""

TOO_LARGE: Final = 1009
"""WebSocket's status for a message longer than we allow (RFC 6455, 7.4.1)."""


class WebSocket:
    """Connects to one URL; one connection at a time.

    Args:
        url: ws or wss; ws to internal addresses only.
        what: names it in messages.
        headers: further ones of the handshake.
        deflate: whether messages may be compressed as WebSocket itself can (RFC 7692).
        context: certificates and protocols of TLS; the system's own where None.
        lookup: gives the addresses of a host.
        frame_bytes: longest message.

    Raises:
        UsageError: the URL cannot be used, or the package is not installed.
    """

    def __init__(
        self,
        url: str,
        what: str,
        headers: Mapping[str, str] | None = None,
        *,
        deflate: bool = True,
        context: ssl.SSLContext | None = None,
        lookup: Lookup = look_up,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        try:
            import websockets  # noqa: F401 - only whether it is there
        except ImportError:
            raise UsageError("listening needs its package: pip install 'swarmlight[live]'") from None
        parts = checked_url(url, what, ("wss", "ws"))
        self.host = str(parts.hostname)
        self._url = url
        self._what = what
        self._encrypted = parts.scheme == "wss"
        self._port = parts.port or (443 if self._encrypted else 80)
        self._headers = dict(headers or {})
        self._deflate = deflate
        self._context = (context or ssl.create_default_context()) if self._encrypted else None
        self._lookup = lookup
        self._frame_bytes = frame_bytes
        self._stopped = threading.Event()
        self._connection: ClientConnection | None = None
        self.too_large = 0
        """Connections so far that ended with a message longer than allowed."""

    def interrupt(self) -> None:
        """Have the connection end; called from another thread."""
        self._stopped.set()
        if self._connection is not None:
            # It will be closed in order by whoever reads it; this only wakes them.
            with suppress(OSError):
                self._connection.socket.shutdown(socket.SHUT_RD)

    @contextmanager
    def messages(self, query: str = "") -> Iterator[Iterator[bytes | str]]:
        """The messages that come, until the connection breaks.

        Args:
            query: what is put behind the URL.

        Raises:
            DeliveryError: no connection, or it broke; while iterating as well.
        """
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        self._stopped.clear()
        address = checked_address(
            self.host, self._port, self._what, internal=True, encrypted=self._encrypted, lookup=self._lookup
        )
        try:
            plain = socket.create_connection((address, self._port), CONNECT_S)
            plain.settimeout(None)
            opening = connect(
                self._url + query,
                sock=plain,
                ssl=self._context,
                additional_headers=self._headers,
                user_agent_header=USER_AGENT,
                compression="deflate" if self._deflate else None,
                proxy=None,
                open_timeout=CONNECT_S,
                close_timeout=1.0,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                max_size=self._frame_bytes,
                max_queue=FRAMES_WAITING,
            )
            self._connection = connection = opening.__enter__()
        except InvalidStatus as error:
            status = error.response.status_code
            raise DeliveryError(
                f"{self._what}: {shown(self.host)} answered with status {status}; see what it asks for",
                lasting=300 <= status < 500 and status not in RETRIED,
            ) from None
        except (WebSocketException, OSError, ValueError, EOFError) as error:
            raise DeliveryError(f"{self._what}: no connection to {shown(self.host)}: {why(error)}") from None
        try:
            yield self._received(connection)
        finally:
            self._connection = None
            with suppress(WebSocketException, OSError, EOFError):
                connection.close()

    def _received(self, connection: ClientConnection) -> Iterator[bytes | str]:
        from websockets.exceptions import ConnectionClosed

        while not self._stopped.is_set():
            try:
                yield connection.recv(RECEIVE_S)
            except TimeoutError:
                continue
            except (ConnectionClosed, OSError, EOFError) as error:
                sent = getattr(error, "sent", None)
                if sent is not None and sent.code == TOO_LARGE:
                    self.too_large += 1
                raise DeliveryError(f"{self._what}: {shown(self.host)} ended the connection ({_code(error)})") from None


def _code(error: BaseException) -> str:
    """Why a connection ended, as its number; the words beside it are the server's."""
    received = getattr(error, "rcvd", None)
    return f"status {received.code}" if received is not None else "without saying why"
