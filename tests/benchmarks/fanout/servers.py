"""The servers that are compared: what each needs, how it starts, and how it is told to publish.

All of them run as a process of their own on one core, listen on a free port of the loopback, and take the
commands that `programs/limit.c` describes. What can't be had is missing with a reason, never silently.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.program import Program, ProgramError, cores
from benchmarks.fanout.programs.control import new_event

PROGRAMS = Path(__file__).resolve().parent / "programs"
REPOSITORY = Path(__file__).resolve().parents[3]

START_TIMEOUT_S = 30.0
INSTALL_TIMEOUT_S = 120.0

NODE_PACKAGES = {"ws": "ws@8.23.0", "uwebsockets": "uwebsockets@3.0.6"}
DEBIAN_PACKAGES = ("nginx", "libnginx-mod-nchan")
NCHAN_MODULE = "usr/lib/nginx/modules/ngx_nchan_module.so"


class MissingError(Exception):
    """Something that a server needs cannot be had here."""


class Server:
    """A running server."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port

    def begin(self, command: str) -> None:
        """Let it publish: `single COUNT GAP_US PAD`, `storm COUNT PAD`, or another of its own."""
        self.program.say(command)

    def finish(self, timeout_s: float) -> None:
        """Wait until it has published all.

        Raises:
            ProgramError: It has not in time.
        """
        self.program.wait("done", timeout_s)

    def close(self) -> None:
        """Stop it."""
        self.program.close()


class NchanServer(Server):
    """nginx with nchan, which is published to over HTTP: an own thread here does that."""

    def begin(self, command: str) -> None:
        """Publish in a thread."""
        name, *numbers = command.split()
        work = {"single": self._singles, "storm": self._storm}[name]
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(work, *map(int, numbers)), daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout_s)
        if self._thread.is_alive() or self._failure is not None:
            raise ProgramError(f"publishing to nchan: {self._failure or 'not done in time'}")

    def _run(self, work: Callable[..., None], *numbers: int) -> None:
        try:
            work(*numbers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._failure = error

    def _singles(self, count: int, gap_us: int, pad: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for _ in range(count):
            body = json.dumps(new_event(time.monotonic_ns(), pad), separators=(",", ":"))
            connection.request("POST", "/publish", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 300:
                raise ValueError(f"nchan answered {answer.status}")
            time.sleep(gap_us / 1e6)
        connection.close()

    def _storm(self, count: int, pad: int) -> None:
        """All requests behind each other on one connection, without waiting for the answers."""
        stamp_ns = time.monotonic_ns()
        requests = []
        for _ in range(count):
            body = json.dumps(new_event(stamp_ns, pad), separators=(",", ":")).encode()
            requests.append(
                b"POST /publish HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
        with socket.create_connection(("127.0.0.1", self.port), 10) as plain:
            sending = threading.Thread(target=plain.sendall, args=(b"".join(requests),), daemon=True)
            sending.start()
            answered, rest = 0, b""
            while answered < count:
                got = plain.recv(1 << 16)
                if not got:
                    raise ValueError("nchan hung up")
                *_, rest = (parts := (rest + got).split(b"HTTP/1.1 20"))
                answered += len(parts) - 1
                rest = rest[-16:]
            sending.join()


@dataclass(frozen=True, slots=True)
class Way:
    """Another way to publish with the same server; it has a row of its own.

    Attributes:
        single: Its command for singles, if any; `storm` likewise.
        storm_us: As of `Kind`.
    """

    key: str
    title: str
    single: str = ""
    storm: str = ""
    storm_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server.

    Attributes:
        storm_us: About what a delivery of a storm costs it: a slow one gets a smaller storm.
        others: Other ways to publish with it.
        tabs: Numbers of tabs with which it is measured; None for all.
    """

    key: str
    title: str
    start: Callable[[Cache, Path], Server]
    storm_us: float
    others: Sequence[Way] = ()
    tab_options: Sequence[str] = ()
    tabs: Sequence[int] | None = None

    @property
    def ways(self) -> Sequence[Way]:
        """All ways to publish with it."""
        return (Way(self.key, self.title, "single", "storm", self.storm_us), *self.others)


class Cache:
    """The folder where what is built and fetched stays for the next run; nothing of it is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def build(self, name: str, *options: str) -> Path:
        """Compile a C program where its source is newer.

        Raises:
            MissingError: There is no compiler, or it fails.
        """
        source, program = PROGRAMS / f"{name}.c", self.folder / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            compiler = shutil.which("cc") or shutil.which("gcc")
            if compiler is None:
                raise MissingError("no C compiler (Debian: gcc, zlib1g-dev)")
            self._run([compiler, "-O2", "-Wall", "-o", str(program), str(source), *options])
        return program

    def node(self, package: str) -> tuple[str, str]:
        """Node and the folder with its modules, of which this is one."""
        node, modules = shutil.which("node"), self.folder / "node_modules"
        if node is None:
            raise MissingError("no Node")
        if not (modules / package).exists():
            if shutil.which("npm") is None:
                raise MissingError("no npm")
            wanted = [NODE_PACKAGES[package]]
            wanted += [spec for name, spec in NODE_PACKAGES.items() if (modules / name).exists()]
            options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts"]
            self._run(["npm", "install", "--prefix", str(self.folder), *options, *wanted])
        return node, str(modules)

    def nginx(self) -> tuple[Path, Path]:
        """nginx and its nchan module: the system's, or Debian's packages unpacked here, not installed."""
        installed = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if installed and (Path("/") / NCHAN_MODULE).exists():
            return Path(installed), Path("/") / NCHAN_MODULE
        root = self.folder / "debian"
        program, module = root / "usr/sbin/nginx", root / NCHAN_MODULE
        if not (program.exists() and module.exists()):
            if not (shutil.which("apt-get") and shutil.which("dpkg")):
                raise MissingError("no nginx with nchan (Debian: nginx, libnginx-mod-nchan)")
            fetched = self.folder / "fetched"
            fetched.mkdir(exist_ok=True)
            try:
                self._run(["apt-get", "download", *DEBIAN_PACKAGES], fetched)
            except MissingError as error:
                raise MissingError(f"{error}; an `apt-get update` may help") from error
            for package in fetched.glob("*.deb"):
                self._run(["dpkg", "-x", str(package), str(root)])
            # nchan 1.3.6 makes this folder whatever the configuration says: below -p, not in the system.
            module.write_bytes(module.read_bytes().replace(b"/var/lib/nginx/body", b"nchan-requests-body"))
        return program, module

    def _run(self, command: Sequence[str], folder: Path | None = None) -> None:
        shown = " ".join(command[:2])
        try:
            done = subprocess.run(
                command,
                cwd=folder or self.folder,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingError(f"`{shown}`: {error}") from error
        if done.returncode:
            raise MissingError(f"`{shown}` failed: {(done.stderr or done.stdout).strip()[-400:]}")


def _started(program: Program, kind: type[Server] = Server, port: int | None = None) -> Server:
    """Wait until it says where it listens."""
    try:
        if port is None:
            said = program.wait("port", START_TIMEOUT_S)
            port = int(said["port"])
        return kind(program, port)
    except BaseException:
        program.close()
        raise


def _python(script: str, *arguments: str | Path) -> Program:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    return Program(script, [sys.executable, PROGRAMS / script, *arguments], cores()[0], {"PYTHONPATH": path})


def _start_ours(cache: Cache, folder: Path, *flags: str) -> Server:
    (folder / "kb").mkdir(parents=True)
    (folder / "kb" / "note.md").write_text("---\ntitle: A note\n---\nText.\n", encoding="utf-8")
    program = _python("ours.py", folder / "kb", folder / "state", *flags)
    if flags:
        return _started(program)
    try:
        found = re.search(r":(\d+)/?$", program.wait("url", START_TIMEOUT_S)["url"])
        assert found is not None
    except BaseException:
        program.close()
        raise
    return Server(program, int(found[1]))


def _start_limit(cache: Cache, folder: Path) -> Server:
    return _started(Program("limit", [cache.build("limit")], cores()[0]))


def _start_node(cache: Cache, script: str, package: str) -> Server:
    node, modules = cache.node(package)
    return _started(Program(script, [node, PROGRAMS / script], cores()[0], {"NODE_PATH": modules}))


def _start_nchan(cache: Cache, folder: Path) -> Server:
    nginx, module = cache.nginx()
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (PROGRAMS / "nchan.conf").read_text(encoding="utf-8")
    user = "user root;" if os.getuid() == 0 else ""
    for name, value in (("MODULE", module), ("FOLDER", folder), ("PORT", port), ("USER", user)):
        text = text.replace(f"@{name}@", str(value))
    config = folder / "nginx.conf"
    config.write_text(text, encoding="utf-8")
    errors = folder / "error.log"
    program = Program("nchan", [nginx, "-p", folder, "-e", errors, "-c", config], cores()[0])
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return _started(program, NchanServer, port)
        except OSError:
            if time.monotonic() > deadline or program.has_ended:
                program.close()
                said = errors.read_text(encoding="utf-8")[-400:] if errors.exists() else ""
                raise MissingError(f"nginx does not listen: {said}") from None
            time.sleep(0.05)


KINDS: tuple[Kind, ...] = (
    Kind("c", "C, `send()` in a loop (the limit)", _start_limit, 0.1),
    Kind(
        "ours",
        "**Pyrite Watch**",
        _start_ours,
        0.1,
        others=(
            Way("joined", "the same, by `broadcast_event`", storm="joined_storm", storm_us=0.1),
            Way("awaited", "the same, by `await broadcast`", "awaited_single", "awaited_storm", 10.0),
        ),
    ),
    Kind("uws", "uWebSockets.js", lambda cache, _: _start_node(cache, "uws.js", "uwebsockets"), 0.3),
    Kind("nchan", "nginx + nchan", _start_nchan, 6.0),
    Kind("ws", "Node `ws`", lambda cache, _: _start_node(cache, "ws.js", "ws"), 16.0),
    Kind(
        "websockets",
        "`websockets.broadcast()`",
        lambda *_: _started(_python("websockets_broadcast.py")),
        18.0,
    ),
    Kind(
        "plain",
        "Pyrite Watch on a foreign ASGI server (uvicorn's own protocol)",
        lambda cache, folder: _start_ours(cache, folder, "--plain"),
        25.0,
        others=(Way("plain awaited", "the same, by `await broadcast`", "awaited_single"),),
        tabs=(1000,),
    ),
    Kind(
        "naive", "uvicorn, `await ws.send_json()` in a loop", lambda *_: _started(_python("naive.py")), 25.0
    ),
    Kind(
        "deflate",
        "the same with permessage-deflate (uvicorn's default)",
        lambda *_: _started(_python("naive.py", "--deflate")),
        45.0,
        tab_options=("deflate",),
    ),
)
