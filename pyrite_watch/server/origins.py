"""Hosts and origins: what a Host or Origin header may look like, and when two of them are one.

Pure functions on text. Strict where text comes from a request: what is not plainly a host is `None`,
and never mended into one. Lenient where it comes from the command line, with an error that says so.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from pyrite_watch.errors import UsageError

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# Strict on purpose: no user information, no percent signs, no empty port, nothing after the port.
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)")
_PUBLIC_URL: Final = re.compile(r"(https?://[^/?#]+)([A-Za-z0-9._~!$&'()*+,=:@%/-]*)", re.IGNORECASE)


class Authority(NamedTuple):
    """A host with its port: lower case, IPv6 in brackets and in its shortest form."""

    name: str
    port: int | None
    loopback: bool


class Origin(NamedTuple):
    """A web origin; the port is never left open where the scheme has a default."""

    scheme: str
    name: str
    port: int | None

    def __str__(self) -> str:
        shown = self.port is not None and self.port != DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{self.name}" + (f":{self.port}" if shown else "")


class PublicUrl(NamedTuple):
    """Where the world sees this server: an origin and a sub-path ("" or "/notes", no slash at its end)."""

    origin: Origin
    path: str


@functools.lru_cache(maxsize=256)  # a server sees a few; what a stranger makes up falls out again
def parse_authority(text: str) -> Authority | None:
    """Parse `name[:port]`, None where it is malformed. A trailing dot makes another name."""
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    name = match[1]
    port = int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        return None
    if name.startswith("["):
        try:
            address = ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            return None
        return Authority(f"[{address}]", port, address == ipaddress.IPv6Address("::1"))
    try:
        # Strict: 127.1, 0x7f.0.0.1, 0177.0.0.1 and 2130706433 are no addresses here. Browsers send none.
        loopback = ipaddress.IPv4Address(name).is_loopback
    except ValueError:
        # Not *.localhost: a resolver that does not know RFC 6761 asks the network for it.
        loopback = name == "localhost"
    return Authority(name, port, loopback)


@functools.lru_cache(maxsize=256)
def parse_origin(text: str) -> Origin | None:
    """Parse `scheme://name[:port]`, None where it is malformed or `null`."""
    match = _ORIGIN.fullmatch(text.lower())
    authority = parse_authority(match[2]) if match else None
    if match is None or authority is None:
        return None
    return Origin(match[1], authority.name, authority.port or DEFAULT_PORTS.get(match[1]))


def parse_public_url(url: str) -> PublicUrl:
    """Parse the value of `--public-url`.

    Raises:
        UsageError: It is not http or https, or has user information, a query or a fragment.
    """
    match = _PUBLIC_URL.fullmatch(url)
    origin = parse_origin(ascii_host(match[1])) if match else None
    if match is None or origin is None:
        raise UsageError(
            f"--public-url {url!r} is not an address that a browser could open.",
            "Example: --public-url https://notes.example.com/pyrite",
        )
    path = "/".join(part for part in match[2].split("/") if part)
    return PublicUrl(origin, f"/{path}" if path else "")


def is_loopback_host(host: str) -> bool:
    """Whether listening on this host, as given, reaches this machine only."""
    authority = parse_authority(bracketed(host))
    return authority is not None and authority.loopback


def ascii_host(text: str) -> str:
    """Turn an international name into what browsers send; what cannot be turned stays."""
    if text.isascii():
        return text
    scheme, slashes, rest = text.rpartition("://")
    try:
        return scheme + slashes + rest.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def bracketed(host: str) -> str:
    """Write a host as it stands in a Host header: IPv6 in brackets, without its zone."""
    bare = host.removeprefix("[").removesuffix("]").partition("%")[0]
    return f"[{bare}]" if bare.count(":") > 1 else ascii_host(host)


def is_wildcard(host: str) -> bool:
    """Whether listening on this host, as given, means all addresses: then it is no name."""
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def parse_allowed(given: Iterable[str]) -> Iterable[Origin]:
    """Parse the values of `--allow-origin`.

    Raises:
        UsageError: One is `*`, `null`, or has more than scheme, host and port.
    """
    for text in given:
        origin = parse_origin(ascii_host(text.removesuffix("/")))
        if origin is None:
            raise UsageError(
                f"--allow-origin {text!r} is not an origin: it needs a scheme and a host, and no path.",
                "Example: --allow-origin https://notes.example.com",
            )
        yield origin


def local_address(server: Sequence[str | int | None] | None) -> str | None:
    """Return the address that this connection came in on, as a Host header writes it.

    Bound to all addresses, that one is the bound host. It is safe as a name: a page whose address is a
    number was served by that number.
    """
    try:
        address = ipaddress.ip_address(str(server[0]).partition("%")[0]) if server else None
    except ValueError:
        return None
    if address is None or address.is_unspecified:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    mapped = address.ipv4_mapped  # a socket bound to :: sees IPv4 peers so
    return str(mapped) if mapped else f"[{address}]"
