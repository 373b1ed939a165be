"""How editors save, by the editors themselves and as replayed system calls.

The replayed sequences were taken from the programs with strace (GNU Emacs 28.2, nano 7.2; VS Code from its
disk provider); a test that has the program at hand runs the program as well.
Below the temporary directory vim and Emacs leave out their backups, and so save in another way: TMPDIR is
given, so that it is the caller who decides whether a file lies there.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.tools import TOOL_TIMEOUT_S, run_tool

needs_perl = pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed")
needs_emacs = pytest.mark.skipif(shutil.which("emacs") is None, reason="emacs is not installed")
needs_nano = pytest.mark.skipif(shutil.which("nano") is None, reason="nano is not installed")

EMACS_SAVES: Mapping[str, str] = {
    "rename": "(setq backup-by-copying nil)",
    "copying": "(setq backup-by-copying t)",
    "precious": "(setq file-precious-flag t)",
}
"""Emacs' ways to save: the old file becomes the backup; it is copied; the new one is renamed into place."""


def save_in_vim(file: Path, *ex: str, backupcopy: str, temporary: Path) -> None:
    """Open the file in vim with its own defaults, swap file and all; run ex commands, leave."""
    commands = [f"set backupcopy={backupcopy} writebackup swapfile directory=.", *ex, "qall!"]
    arguments = [argument for command in commands for argument in ("-c", command)]
    vim = ("vim", "-Es", "-N", "-u", "NONE", "-i", "NONE")
    run_tool("env", f"TMPDIR={temporary}", *vim, *arguments, file, cwd=file.parent)


def save_in_emacs(file: Path, text: str, how: str, temporary: Path) -> None:
    """Append a text in Emacs: lock, auto-save, then save in one of `EMACS_SAVES`."""
    edit = f'(progn (auto-save-mode 1) (goto-char (point-max)) (insert "{text}\\n")'
    emacs = ("emacs", "--batch", "-Q", "--eval", EMACS_SAVES[how], file)
    save = f"{edit} (do-auto-save t) (sleep-for 0.05) (save-buffer))"
    run_tool("env", f"TMPDIR={temporary}", *emacs, "--eval", save, cwd=file.parent)


def replay_emacs(file: Path, content: bytes, how: str) -> None:
    """Make the calls of Emacs' save, in their order."""
    lock, auto_save = file.with_name(f".#{file.name}"), file.with_name(f"#{file.name}#")
    backup = file.with_name(f"{file.name}~")
    lock.symlink_to("writer@host.4711")  # dangling, as Emacs means it
    auto_save.write_bytes(content)
    if how == "rename":
        file.rename(backup)
    else:
        backup.unlink(missing_ok=True)
        shutil.copy2(file, backup)
    if how == "precious":
        written = file.with_name("tmpZcODRM")
        written.write_bytes(content)
        lock.unlink()
        written.rename(file)
    else:
        file.write_bytes(content)
        os.close(os.open(file, os.O_WRONLY))
        lock.unlink()
    file.chmod(0o644)
    auto_save.unlink()


def replay_nano(file: Path, content: bytes) -> None:
    """Make the calls of nano's save: truncate, write, fsync, close."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replay_vs_code(file: Path, content: bytes) -> None:
    """Make the calls of VS Code's save: truncate, write in pieces, flush, close."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for at in range(0, len(content), 64):
            os.write(descriptor, content[at : at + 64])
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def replay_vs_code_truncate(file: Path, content: bytes) -> None:
    """Make the calls of VS Code's other save: truncate by name, and only then open."""
    os.truncate(file, 0)
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.write(descriptor, content)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


REPLAYS: Mapping[str, Callable[[Path, bytes], None]] = {
    "nano": replay_nano,
    "VS Code": replay_vs_code,
    "VS Code, truncate by name": replay_vs_code_truncate,
}


def save_in_nano(file: Path, text: str) -> None:
    """Type a line at the end of a file in nano, on a terminal of its own, save and leave.

    Each key waits for what the terminal shows, as nano throws away what is typed too early.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", HOME=str(file.parent), LINES="24", COLUMNS="100")
        with contextlib.suppress(OSError):
            os.execvp("nano", ["nano", "--ignorercfiles", "+9999", os.fspath(file)])
        os._exit(127)
    try:
        _await_screen(terminal, b"^X")
        os.write(terminal, text.encode() + b"\r")
        _await_screen(terminal, text.encode()[-4:])
        os.write(terminal, b"\x13")  # Ctrl-S
        _await_screen(terminal, b"Wrote")
        os.write(terminal, b"\x18")  # Ctrl-X
        with contextlib.suppress(AssertionError):
            _await_screen(terminal, None)
    finally:
        os.close(terminal)  # also hangs up a nano that does not leave
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _await_screen(terminal: int, shown: bytes | None) -> None:
    """Read the terminal until it shows something; None: until its program has left it."""
    deadline = time.monotonic() + TOOL_TIMEOUT_S
    seen = b""
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # EIO: the other side is closed
            read = b""
        seen += read
        if shown is not None and shown in seen:
            return
        if not read:
            if shown is None:
                return
            break
    raise AssertionError(f"the terminal does not show {shown!r}: {seen[-500:]!r}")
