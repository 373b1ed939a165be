"""Hosts and origins: what is one, and which are the same."""

from __future__ import annotations

import pytest

from pyrite_watch.server.origins import is_loopback_host, is_wildcard, parse_origin, parse_public_url


def test_public_url_is_an_origin_and_a_path() -> None:
    """The path has no slash at its end."""
    for url in ("HTTPS://Notes.example.com:443/a/b/", "https://notes.example.com/a/b"):
        public = parse_public_url(url)
        assert (str(public.origin), public.path) == ("https://notes.example.com", "/a/b")
    assert parse_public_url("http://[::1]:9000/").path == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1", "[::1]", "127.9.9.9"])
def test_loopback_hosts(host: str) -> None:
    """Listening there needs no token."""
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "box.lan", "192.168.1.5", "localhost.lan", "::ffff:127.0.0.1", "128.0.0.1"]
)
def test_hosts_beyond_loopback(host: str) -> None:
    """Listening there does."""
    assert not is_loopback_host(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "[::]", "0:0::0"])
def test_wildcards(host: str) -> None:
    """All ways to say "all addresses"."""
    assert is_wildcard(host)
    assert not is_wildcard("127.0.0.1")


def test_equal_origins_are_equal() -> None:
    """Case and a default port make no other origin; the text is as browsers write it."""
    for text in ("https://app.example.com", "HTTPS://APP.example.com:443"):
        assert parse_origin(text) == ("https", "app.example.com", 443)
        assert str(parse_origin(text)) == "https://app.example.com"
    assert str(parse_origin("http://[0::1]:0443")) == "http://[::1]:443"
    assert str(parse_origin("app://obsidian.md")) == "app://obsidian.md"
