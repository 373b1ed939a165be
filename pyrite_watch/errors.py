"""Every error that Pyrite Watch raises on purpose.

    PyriteWatchError                exit 1
    ├── UsageError                  exit 2   what was typed or configured cannot be meant
    │   ├── NoKnowledgeBaseError
    │   ├── DuplicateKbError, DuplicateRootError
    │   ├── ConfigError
    │   └── TokenNeededError
    ├── StartError                  exit 3   it could be right, but not here and now
    │   ├── RootMissingError
    │   ├── PortInUseError
    │   ├── StateFolderError
    │   └── RootOwnedError
    │       └── StateOwnedError
    ├── StateError                  exit 4   the state folder; it is left as it is
    │   ├── StateDamagedError
    │   └── StateNewerError
    └── RequestError                an HTTP answer: `status` and `code`
        ├── KbNotFoundError, EntryNotFoundError, JobNotFoundError
        ├── PositionMalformedError, PositionLostError
        └── KbReadOnlyError, KbUnavailableError

Facts are attributes, the sentence is `str(error)`, and `hint` says what to type next.
"""

from __future__ import annotations

from pathlib import Path


class PyriteWatchError(Exception):
    """Base of all errors here; `hint` is the next thing to do, or empty."""

    exit_code = 1
    hint = ""


class UsageError(PyriteWatchError):
    """A command or configuration that cannot be meant as given."""

    exit_code = 2

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.hint

    def __str__(self) -> str:
        return self.message


class NoKnowledgeBaseError(UsageError):
    """No PATH was given and no config names a knowledge base."""

    def __init__(self, config_path: Path) -> None:
        super().__init__(
            f"No knowledge base to watch: no PATH was given, and {config_path} names none.",
            "Type 'pyrite watch PATH', where PATH is a folder of Markdown files.",
        )
        self.config_path = config_path


class DuplicateKbError(UsageError):
    """Two knowledge bases have one name."""

    def __init__(self, name: str, first: Path, second: Path) -> None:
        super().__init__(
            f"Two knowledge bases are named '{name}': {first} and {second}.",
            f"Give one of them another name: OTHER={second}",
        )
        self.name, self.first, self.second = name, first, second


class DuplicateRootError(UsageError):
    """One folder was named twice, perhaps through a link."""

    def __init__(self, first: str, second: str, root: Path) -> None:
        super().__init__(f"'{first}' and '{second}' are the same folder: {root}.", "Name each folder once.")
        self.first, self.second, self.root = first, second, root


class ConfigError(UsageError):
    """A configuration file that cannot be used; `line` counts from 1, None where unknown."""

    def __init__(self, path: Path, problem: str, line: int | None = None) -> None:
        where = f"{path}, line {line}" if line else f"{path}"
        super().__init__(f"{where}: {problem}", "Mend the file, or name the folders: pyrite watch PATH")
        self.path, self.problem, self.line = path, problem, line


class TokenNeededError(UsageError):
    """Listening beyond loopback without a token would show the notes to everybody on the network."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Listening on {host} without a token would open your notes to the whole network.",
            "Add --token auto, or keep --host 127.0.0.1.",
        )
        self.host = host


class StartError(PyriteWatchError):
    """The command is right, but cannot start here and now."""

    exit_code = 3


class RootMissingError(StartError):
    """A knowledge base's folder is not there, or is no folder."""

    def __init__(self, root: Path, why: str = "does not exist") -> None:
        super().__init__(root, why)
        self.root, self.why = root, why
        self.hint = "Check the path, or mount the drive that holds it."

    def __str__(self) -> str:
        return f"The folder {self.root} {self.why}."


class PortInUseError(StartError):
    """The address is taken; `next_port` is a free one nearby, or 0."""

    def __init__(self, host: str, port: int, next_port: int = 0) -> None:
        super().__init__(host, port)
        self.host, self.port = host, port
        self.hint = f"Try --port {next_port}, or stop the process that holds it."

    def __str__(self) -> str:
        return f"Port {self.port} on {self.host} is in use."


class AddressError(StartError):
    """The host cannot be listened on at all."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(host, port, why)
        self.host, self.port, self.why = host, port, why
        self.hint = "Choose another --host or --port; 127.0.0.1 always works."

    def __str__(self) -> str:
        return f"Cannot listen on {self.host}, port {self.port}: {self.why}."


class RootOwnedError(StartError):
    """Another process watches this root; `url` is empty where it serves no port."""

    def __init__(self, root: Path | str, pid: int, url: str) -> None:
        super().__init__(root, pid, url)
        self.root, self.pid, self.url = root, pid, url
        if url:
            self.hint = f"Open {url}, or stop that process first."
        else:
            self.hint = f"Stop process {pid} first." if pid else "Stop that process first."

    @property
    def owner(self) -> str:
        """The other process, in words; its pid is 0 where unknown."""
        return f"process {self.pid}" if self.pid else "another process"

    def __str__(self) -> str:
        return f"{self.root} is already watched by {self.owner}."


class StateOwnedError(RootOwnedError):
    """Another process uses this state folder, for other roots than these; `root` is the folder."""

    def __str__(self) -> str:
        return f"The state folder {self.root} is already used by {self.owner}."


class StateFolderError(StartError):
    """The state folder cannot be made or written, so nothing could be remembered there."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why
        self.hint = "Give a folder that you can write to: --state-dir DIR."

    def __str__(self) -> str:
        return f"The state folder {self.path} cannot be used: {self.why}."


class StateError(PyriteWatchError):
    """The state folder cannot be used."""

    exit_code = 4


class StateDamagedError(StateError):
    """SQLite cannot read the index."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why
        self.hint = (
            "It was left as it is, and your notes are not concerned. Move that folder away to build "
            "the index anew, or give another with --state-dir."
        )

    def __str__(self) -> str:
        return f"The index in {self.path} is damaged ({self.why})."


class StateNewerError(StateError):
    """A newer version wrote this state."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(path, found, known)
        self.path, self.found, self.known = path, found, known
        self.hint = "Upgrade pyrite-watch, or give another folder with --state-dir."

    def __str__(self) -> str:
        return (
            f"The index in {self.path} was written by a newer version "
            f"(schema {self.found}, this version knows {self.known}); it was left untouched."
        )


class RequestError(PyriteWatchError):
    """What a client asked for cannot be answered: an HTTP `status` and a stable `code`."""

    status = 400
    code = "BAD_REQUEST"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def facts(self) -> dict[str, str]:
        """What else the answer says beside code, message and hint."""
        return {}


class KbNotFoundError(RequestError):
    """No knowledge base of that name is watched."""

    status = 404
    code = "KB_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no knowledge base '{name}'.", "GET /api/kbs lists them.")
        self.name = name


class EntryNotFoundError(RequestError):
    """No entry has that id."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, entry_id: str, kb_name: str | None = None) -> None:
        where = f" in '{kb_name}'" if kb_name else ""
        super().__init__(f"There is no entry '{entry_id}'{where}.")
        self.entry_id, self.kb_name = entry_id, kb_name


class PictureNotFoundError(RequestError):
    """Nothing that the page may show is at that path: no picture, or a hidden one."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, path: str, kb_name: str) -> None:
        super().__init__(f"There is no picture '{path[:200]}' in '{kb_name}'.")
        self.path, self.kb_name = path, kb_name


class TooBigError(RequestError):
    """What is to be shown or written is larger than an entry may be."""

    status = 413
    code = "TOO_BIG"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The text is longer than an entry may be: {limit:,} bytes.")
        self.limit = limit


class JobNotFoundError(RequestError):
    """No sync job has that id."""

    status = 404
    code = "NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job '{job_id}'.", "Jobs are kept until the server stops.")
        self.job_id = job_id


class PositionMalformedError(RequestError):
    """A position is EPOCH:OFFSET."""

    status = 400
    code = "POSITION_MALFORMED"

    def __init__(self, given: str) -> None:
        super().__init__(f"'{given[:80]}' is not a position.", "A position is EPOCH:OFFSET.")
        self.given = given


class PositionLostError(RequestError):
    """The position is not of this log's past: load the state again."""

    status = 410
    code = "POSITION_LOST"

    def __init__(self, given: str, now: str) -> None:
        super().__init__(
            f"Position {given} is not of this log's past; it is at {now}.",
            "Load the state again: GET /api/state.",
        )
        self.given, self.now = given, now


class KbReadOnlyError(RequestError):
    """Writes are refused."""

    status = 403
    code = "READ_ONLY"

    def __init__(self, name: str) -> None:
        super().__init__(f"The knowledge base '{name}' is read-only.")
        self.name = name


class KbUnavailableError(RequestError):
    """The root is gone for now."""

    status = 503
    code = "KB_UNAVAILABLE"

    def __init__(self, name: str) -> None:
        super().__init__(f"The folder of '{name}' is not there at the moment.")
        self.name = name
