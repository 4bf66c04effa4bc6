"""How often somebody may fail to log in: what succeeds counts nothing, and nobody is locked out by guesses elsewhere.

Wrong attempts are counted three ways. By address and name: whoever guesses at one name from one address gets a few
tries. By address: whoever tries many names gets some more. By name, over all addresses: beyond that the name is under
attack, and every address has one try left at it until the window passes. So a person with the right password is let in
from wherever nobody has guessed before, however many addresses guess; and each address more costs an attacker's one.
Counts are in memory, per process.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from moderation.rate_limits import FailureLimit

LOGIN_FAILURES: Final = 5
LOGIN_WINDOW_S: Final = 150
"""Wrong attempts at one name from one address: five, then one in half a minute. A person notices nothing, a list of
passwords gets nowhere."""

ADDRESS_FAILURES: Final = 20
"""Wrong attempts from one address within the same window: a whole office may sit behind it, and mistype."""

NAME_FAILURES: Final = 30
NAME_WINDOW_S: Final = 600
"""Wrong attempts at one name from everywhere: more than a person makes, and what NIST SP 800-63B asks to limit."""

ATTACKED_FAILURES: Final = 1
"""Wrong attempts at a name under attack from one address."""

IPV6_NETWORK: Final = 64
"""Bits of an IPv6 address that one customer has: all of it counts as one."""


class LoginLimits:
    """Limits of wrong attempts to log in."""

    def __init__(self) -> None:
        self._pairs = FailureLimit(LOGIN_FAILURES, LOGIN_WINDOW_S)
        self._attacked = FailureLimit(ATTACKED_FAILURES, LOGIN_WINDOW_S)
        self._addresses = FailureLimit(ADDRESS_FAILURES, LOGIN_WINDOW_S)
        self._names = FailureLimit(NAME_FAILURES, NAME_WINDOW_S)

    def admit(self, address: str, name: str) -> bool:
        """Whether an attempt may be made; one that may has to be settled.

        Args:
            address: of the client.
            name: that it tries to log in with.
        """
        network, who = network_of(address), name.lower()
        pair = f"{network} {who}"
        limits = [(self._addresses, network), (self._pairs, pair)]
        if self._names.used_up(who):
            limits.append((self._attacked, pair))
        begun: list[tuple[FailureLimit, str]] = []
        for limit, key in limits:
            if not limit.begin(key):
                for each, held in begun:
                    each.settle(held, failed=False)
                return False
            begun.append((limit, key))
        for limit, key in begun:
            if limit is self._attacked:
                limit.settle(key, failed=False)
        return True

    def settle(self, address: str, name: str, *, failed: bool) -> None:
        """Say how an admitted attempt ended.

        Args:
            address: of the client.
            name: that it tried to log in with.
            failed: whether name and password did not belong together.
        """
        network, who = network_of(address), name.lower()
        pair = f"{network} {who}"
        self._addresses.settle(network, failed=failed)
        self._pairs.settle(pair, failed=failed)
        if failed:
            self._attacked.fail(pair)
            self._names.fail(who)


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, the /64 of an IPv6 address, or whatever else it is called."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_NETWORK), strict=False))
