"""The programs with which people change files: vim, sed, git. Each runs to its end, with a deadline."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOL_TIMEOUT_S = 30.0

needs_vim = pytest.mark.skipif(shutil.which("vim") is None, reason="vim is not installed")
needs_sed = pytest.mark.skipif(shutil.which("sed") is None, reason="sed is not installed")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def run_tool(*command: str | Path, cwd: Path) -> str:
    """Run a program to its end and return what it printed; fails with its own words."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Writer",
        "GIT_AUTHOR_EMAIL": "writer@example.org",
        "GIT_COMMITTER_NAME": "Writer",
        "GIT_COMMITTER_EMAIL": "writer@example.org",
    }
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TOOL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def vim(file: Path, *ex: str, backupcopy: str = "auto") -> None:
    """Open the file in vim, run ex commands, leave.

    `backupskip` is emptied: by default vim saves otherwise below the temporary directory.
    """
    commands = [f"set backupcopy={backupcopy} backupskip= writebackup", *ex, "qall!"]
    arguments = [argument for command in commands for argument in ("-c", command)]
    run_tool("vim", "-Es", "-N", "-u", "NONE", "-i", "NONE", *arguments, file, cwd=file.parent)


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder, without anybody's own configuration."""
    return run_tool("git", "-c", "gc.auto=0", "-c", "core.fsmonitor=false", *arguments, cwd=root)
