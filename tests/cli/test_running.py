"""Which roots are watched now: the listing of the registry, and processes made of it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from pyrite_watch.cli.asking import (
    NoAnswerError,
    NothingRunsError,
    WhichServerError,
    ask,
    check_url,
    choose_server,
    list_running,
)
from pyrite_watch.errors import UsageError
from pyrite_watch.ownership import Ownership, list_owners, registry_dir


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environ = {"XDG_STATE_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}
    monkeypatch.setenv("XDG_STATE_HOME", environ["XDG_STATE_HOME"])
    return environ


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    found = [tmp_path / name for name in ("a", "b", "c")]
    for root in found:
        root.mkdir()
    return found


def test_nothing_is_listed_where_nothing_was_ever_watched(tmp_path: Path, environ: dict[str, str]) -> None:
    """Asking makes no registry."""
    assert list_owners(environ) == []
    assert not (tmp_path / "xdg").exists()


def test_every_owned_root_is_listed_and_no_other(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """With its address and when it was taken; what was given back is not."""
    Ownership.take(roots[2:], tmp_path / "past", environ).release()
    with Ownership.take(roots[:2], tmp_path / "state", environ) as ownership:
        ownership.announce("http://127.0.0.1:9")
        listed = list_owners(environ)
        assert [(owner.root, owner.pid, owner.url) for owner in listed] == [
            (root, os.getpid(), "http://127.0.0.1:9") for root in roots[:2]
        ]
        assert all(owner.started and owner.state_dir == tmp_path / "state" for owner in listed)
    assert list_owners(environ) == []


def test_a_root_that_became_a_link_is_still_listed(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Its lock is that of the path it had."""
    with Ownership.take(roots[:1], tmp_path / "state", environ):
        roots[0].rename(tmp_path / "moved")
        roots[0].symlink_to(roots[1])
        assert [owner.root for owner in list_owners(environ)] == [roots[0]]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"root": 7}', '{"root": "relative"}'])
def test_one_that_has_not_told_its_root_is_left_out(
    tmp_path: Path, environ: dict[str, str], roots: list[Path], text: str
) -> None:
    """The other roots are listed all the same."""
    with Ownership.take(roots[:2], tmp_path / "state", environ):
        first, _ = sorted(registry_dir(environ).glob("*.json"))
        first.write_text(text)
        assert len(list_owners(environ)) == 1


def test_a_process_is_one_with_all_its_roots(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Two processes are two."""
    with (
        Ownership.take(roots[:2], tmp_path / "one", environ) as one,
        Ownership.take(roots[2:], tmp_path / "two", environ) as two,
    ):
        one.announce("http://127.0.0.1:9")
        two.announce("http://127.0.0.1:10")
        assert {each.url: each.roots for each in list_running(environ)} == {
            "http://127.0.0.1:9": tuple(roots[:2]),
            "http://127.0.0.1:10": tuple(roots[2:]),
        }


def test_one_server_is_taken_none_or_several_are_errors(
    tmp_path: Path, environ: dict[str, str], roots: list[Path]
) -> None:
    """Exit 3 with what to type; exit 2 with a list. One that opens no port cannot be followed."""
    with pytest.raises(NothingRunsError) as none:
        choose_server(None, None, "tail")
    assert none.value.exit_code == 3
    assert "pyrite watch PATH" in none.value.hint
    with Ownership.take(roots[:1], tmp_path / "one", environ) as one:
        with pytest.raises(NothingRunsError):
            choose_server(None, None, "tail")
        one.announce("http://127.0.0.1:9")
        assert choose_server(None, "x", "tail") == ("http://127.0.0.1:9", "x")
        with Ownership.take(roots[1:], tmp_path / "two", environ) as two:
            two.announce("http://127.0.0.1:10")
            with pytest.raises(WhichServerError) as several:
                choose_server(None, None, "tail")
    assert several.value.exit_code == 2
    for text in ("http://127.0.0.1:9 ", "http://127.0.0.1:10 ", *map(str, roots)):
        assert text in str(several.value)
    assert several.value.hint.startswith("Type, for example: pyrite tail http://")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "127.0.0.1:8088", "ftp://host", "http://", "http://[::1", "http://host:x", "/tmp"]
)
def test_what_is_no_address_is_a_usage_error(url: str) -> None:
    """It says what one looks like."""
    with pytest.raises(UsageError, match="not the address") as caught:
        check_url(url)
    assert "http://127.0.0.1:8088" in caught.value.hint
    assert check_url("https://notes.example.com/sub/") == ("https://notes.example.com/sub", None)


@pytest.mark.parametrize(
    ("url", "token", "asked"),
    [
        ("http://h/?token=a%2Bb+c", None, ("http://h", "a+b+c")),
        ("http://h/sub/?token=x", None, ("http://h/sub", "x")),
        ("http://h?token=x", "given", ("http://h", "given")),
        ("http://h/?", None, ("http://h", None)),
    ],
)
def test_a_token_may_stand_in_an_address(url: str, token: str | None, asked: tuple[str, str | None]) -> None:
    """As in the one that opens the page; bug: it was printed, and `status` did not use it."""
    assert check_url(url, token) == asked


@pytest.mark.parametrize(
    "url",
    [
        "http://h/?token=SECRET&kb=x",
        "http://h/?token=SECRET&token=SECRET",
        "http://h/?token=SECRET%20SECRET",
        "http://h/#SECRET",
        "http://me:SECRET@h/",
        "ftp://h/?token=SECRET",
        "ftp://me:SECRET@h",
        "http://me:SECRET/x@h/",
        "http://[::1?token=SECRET",
    ],
)
def test_what_else_stands_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    """It would be left out of what is asked, and may be a secret."""
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert "SECRET" not in str(caught.value) + caught.value.hint


def test_a_server_that_is_not_there_is_said_so() -> None:
    """In words, not as an exception of a library."""
    with pytest.raises(NoAnswerError) as caught:
        ask("http://127.0.0.1:1", "/health")
    assert str(caught.value) == "http://127.0.0.1:1 did not answer (Connection refused)."
    assert caught.value.status is None


def test_what_speaks_no_http_is_said_so() -> None:
    """Bug: the address of another service was a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-x\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        with pytest.raises(NoAnswerError, match="something else"):
            ask(url, "/health", timeout_s=10)
        greeting.join()
