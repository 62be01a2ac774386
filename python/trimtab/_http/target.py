"""Where requests go: an endpoint's URL, taken apart once."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from trimtab.errors import ConfigError

_PORTS = {"http": 80, "https": 443}
# Addresses kept ready; a fleet that has replaced this many starts over.
_KEPT = 4096


class AddressError(ConfigError):
    """An endpoint's address that no request can be sent to."""


class Target:
    """The parts of an endpoint's URL, in the form in which the connection pool wants them."""

    __slots__ = ("authority", "base", "host", "port", "prefix", "scheme")

    def __init__(self, address: str) -> None:
        """Take ``address`` apart.

        Raises:
            AddressError: If it is not ``http://`` or ``https://``, a host, perhaps port and path.
        """
        try:
            url = urlsplit(address)
            host, port = url.hostname, url.port
            ascii_host = (host or "").encode("idna" if not (host or "").isascii() else "ascii")
        except ValueError as error:
            raise _malformed(address, str(error)) from error
        if url.scheme not in _PORTS:
            raise _malformed(address, "it must begin with http:// or https://")
        if not ascii_host:
            raise _malformed(address, "it names no host")
        if url.username is not None or url.password is not None:
            raise _malformed(address, "give credentials as headers, not in the address")
        if url.query or url.fragment:
            raise _malformed(address, "it must not have a query or a fragment")
        self.scheme = url.scheme.encode()
        self.host = ascii_host
        self.port = port
        self.prefix = url.path.rstrip("/").encode()
        bracketed = b"[" + ascii_host + b"]" if b":" in ascii_host else ascii_host
        is_default = port is None or port == _PORTS[url.scheme]
        self.authority = bracketed if is_default else bracketed + f":{port}".encode()
        self.base = self.scheme + b"://" + self.authority + self.prefix


class Targets:
    """Targets by address, made at their first use."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """Check ``addresses`` now, so that a malformed one is an error of the constructor."""
        self._ready = {address: Target(address) for address in addresses}

    def of(self, address: str) -> Target:
        """Give the target at ``address``."""
        target = self._ready.get(address)
        if target is None:
            if len(self._ready) >= _KEPT:
                self._ready.clear()
            target = self._ready[address] = Target(address)
        return target


def _malformed(address: str, why: str) -> AddressError:
    return AddressError(f"endpoint address {address!r}: {why}")
