"""The command line as a whole: what is ours, and that each command explains itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer.main
from typer.testing import CliRunner

from pyrite_watch.cli import app as app_module
from pyrite_watch.cli.app import OUR_COMMANDS, app

COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_every_command_is_ours() -> None:
    """One that is missing would be passed on to Pyrite's own command line."""
    assert set(OUR_COMMANDS) == set(COMMANDS)


@pytest.mark.parametrize("name", OUR_COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    """In a sentence each, without a blank."""
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), parameter.name
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert "Traceback" not in shown.output


@pytest.mark.parametrize("name", OUR_COMMANDS)
def test_our_commands_are_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is installed; others are."""
    passed: list[bool] = []
    monkeypatch.setattr(app_module, "pass_on", lambda: passed.append(True))
    monkeypatch.setattr("sys.argv", ["pyrite", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        app_module.main()
    assert (ended.value.code, passed) == (0, [])
    monkeypatch.setattr("sys.argv", ["pyrite", "search", "x"])
    with pytest.raises(SystemExit) as ended:
        app_module.main()
    assert (ended.value.code, passed) == (2, [True])


@pytest.mark.parametrize(
    ("option", "told"), [("--help", "Usage: pyrite-watch [OPTIONS] "), ("--version", "pyrite-watch 0")]
)
def test_pyrite_watch_is_called_by_its_name_and_knows_its_version(
    option: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bug: it called itself `pyrite-watch watch`, and refused --version."""
    monkeypatch.setattr("sys.argv", ["pyrite-watch", option])
    with pytest.raises(SystemExit) as ended:
        app_module.main_watch()
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip().startswith(told)


@pytest.mark.parametrize("name", ["tail", "status", "explain", "doctor", "sync"])
def test_no_server_is_imported_to_ask_one(name: str) -> None:
    """It costs half a second, and `pyrite status` must be instant."""
    program = f"import sys, pyrite_watch.cli.{name}; print(*{{'fastapi', 'uvicorn'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--public-url", "ftp://x"), "--public-url 'ftp://x' is not an address"),
        (("--allow-origin", "*"), "--allow-origin '*' is not an origin"),
        (("--allow-host", "a b"), "--allow-host 'a b' is not a host name"),
        (("--token", "x", "--read-token", "x"), "--token and --read-token are the same"),
    ],
)
def test_who_may_connect_is_checked_before_anything_is_opened(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """Bug: the app found it out while it started: a traceback, and exit 3."""
    (tmp_path / "notes").mkdir()
    state = tmp_path / "state"
    arguments = ["watch", str(tmp_path / "notes"), "--port", "0", "--state-dir", str(state), *options]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"pyrite: {words}")
    assert len(refused.stderr.splitlines()) == 2, "a hint, and nothing else"
    assert not state.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "notes", "--state-dir", ""),
        ("watch", "notes", "--token-file", ""),
        ("sync", "notes", "--state-dir", ""),
        ("doctor", "notes", "--state-dir", ""),
        ("explain", "notes/x.md", "--state-dir", ""),
        ("explain", ""),
    ],
)
def test_an_empty_path_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: a shell variable that is not set put the index into the current folder."""
    (tmp_path / "notes").mkdir()
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert f"Invalid value for '{arguments[-2] if len(arguments) > 2 else 'FILE'}'" in refused.stderr
    assert "it is empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize("token", ["bad\ntoken", "two words", "ä", " "])
@pytest.mark.parametrize("arguments", [("status",), ("tail",), ("sync", "notes"), ("explain", "notes/x.md")])
def test_a_token_that_no_request_can_carry_is_refused(arguments: tuple[str, ...], token: str) -> None:
    """Bug: it was said that the server answered something else. Its name is told, and not itself."""
    refused = CliRunner().invoke(app, [*arguments, "--token", token])
    assert refused.exit_code == 2
    assert "Invalid value for '--token' (env var: 'PYRITE_TOKEN'): it " in refused.stderr
    assert token not in refused.stderr.partition("it ")[2] or not token.strip()


def test_the_end_of_a_line_is_no_part_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug: `watch` took it off, `tail` refused it."""
    asked: list[str | None] = []

    def show_status(url: str, token: str | None, *, as_json: bool) -> bool:
        asked.append(token)
        return True

    monkeypatch.setattr("pyrite_watch.cli.status.show_status", show_status)
    done = CliRunner().invoke(app, ["status", "http://127.0.0.1:1"], env={"PYRITE_TOKEN": "SECRET\n"})
    assert (done.exit_code, asked) == (0, ["SECRET"])
