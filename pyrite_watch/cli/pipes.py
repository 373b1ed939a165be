"""Stdout as a command prints to it: what its encoding has not is escaped, and its end is no error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from pyrite_watch.errors import PyriteWatchError


class OutputError(PyriteWatchError):
    """What was to be printed cannot be written."""

    hint = "Is the disk full? Print it elsewhere."

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"The output cannot be written: {self.why}."


@contextlib.contextmanager
def quiet_pipe() -> Iterator[None]:
    """End quietly where nobody reads stdout any more (`… | head -1`): who stops has what it wanted.

    An `OSError` that nobody has handled inside is taken for one of stdout.

    Raises:
        OutputError: Stdout takes nothing for another reason, as a full disk.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _write_nowhere()
    except OSError as error:
        _write_nowhere()
        raise OutputError(error.strerror or str(error)) from error


def _write_nowhere() -> None:
    # Else Python's own end tries to flush once more, and complains.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
