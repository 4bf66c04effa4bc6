"""HTTP as uvicorn speaks it, for clients that get to the point: a request has to arrive whole within some seconds.

Without that, a client that sends a head or a body byte by byte holds a connection for as long as it likes, and a few
thousand of them hold all there are. Answers may take as long as they need: live updates never end.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0
"""For the head of a request, from the connection or from its first byte on: a slow mobile line needs one or two."""

BODY_S: Final = 30.0
"""For its body, of 256 KiB at most: 9 KiB a second."""

TIMED_OUT: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PromptProtocol(H11Protocol):
    """uvicorn's protocol with a deadline for requests. Its parameters are uvicorn's."""

    head_s = HEAD_S
    body_s = BODY_S
    _deadline: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await(h11.IDLE, self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and wait for what is still missing of the request they belong to."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the rest of a request whose beginning came before the answer to the last one."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._await(state, self.body_s)
        elif state is h11.IDLE and self.conn.trailing_data[0]:
            self._await(state, self.head_s)
        else:
            self._arrived()

    def _await(self, what: object, seconds: float) -> None:
        """Wait for a part of a request until a deadline, which more of its bytes do not move."""
        if self._awaited is what:
            return
        self._arrived()
        self._awaited = what
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _arrived(self) -> None:
        self._awaited = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self.transport.write(TIMED_OUT)
        self.transport.close()
