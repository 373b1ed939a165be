"""Row 41: what is written through REST is told once, as `api`, however many write, and whoever else does."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from harness.api import Answer, Api
from harness.expect import check_lines, counts, line, lines, synced, watching
from harness.fixtures import Starter, make_small_kb, write_entry
from harness.reader import revision_of
from harness.record import Json, only_entry_events
from harness.scene import Scene
from harness.wait import eventually

pytestmark = pytest.mark.timeout(180)

WRITES = 100


@pytest.fixture
def writing(start: Starter, home: Path) -> Iterator[Scene]:
    """A KB `kb` of 100 entries, watched."""
    with watching(start, make_small_kb(home / "notes" / "kb", entries=WRITES)) as scene:
        yield scene


def ask(api: Api, method: str, entry_id: str = "", body: Json | None = None, match: str = "") -> Answer:
    """Send a write about an entry of the KB."""
    path = "/api/entries" + (f"/{quote(entry_id)}" if entry_id else "")
    headers = {"If-Match": f'"{match}"'} if match else None
    if method == "DELETE":
        return api.request(method, f"{path}?kb=kb", headers=headers)
    return api.request(method, path, body={"kb": "kb", **(body or {})}, headers=headers)


def done(answer: Answer) -> Json:
    """The JSON of a write that must succeed."""
    assert answer.status == 200, (answer.status, answer.body)
    found: Json = answer.json()
    return found


def at_once(write: Callable[[int], Json]) -> list[Json]:
    """Let 100 threads begin together; return their answers."""
    gate = threading.Barrier(WRITES, timeout=30)

    def one(number: int) -> Json:
        gate.wait()
        return write(number)

    with ThreadPoolExecutor(WRITES) as pool:
        return list(pool.map(one, range(WRITES)))


def created(api: Api, number: int) -> Json:
    return done(ask(api, "POST", body={"id": f"new-{number}", "title": f"New {number}", "body": "Made."}))


def updated(api: Api, number: int) -> Json:
    return done(ask(api, "PUT", f"entry-{number + 1}", {"body": f"Written {number}."}))


def patched(api: Api, number: int) -> Json:
    return done(ask(api, "PATCH", f"entry-{number + 1}", {"field": "rank", "value": number}))


def deleted(api: Api, number: int) -> Json:
    return done(ask(api, "DELETE", f"entry-{number + 1}"))


EXPECTED: dict[Callable[[Api, int], Json], str] = {
    created: "C kb:new-{0} new-{0}.md",
    updated: "U kb:entry-{1} entry-{1}.md",
    patched: "U kb:entry-{1} entry-{1}.md",
    deleted: "D kb:entry-{1} entry-{1}.md",
}


def _keep(answers: list[Json], write: Callable[[Api, int], Json], api: Api, number: int) -> None:
    answers.append(write(api, number))


every_write = pytest.mark.parametrize("write", EXPECTED, ids=[write.__name__ for write in EXPECTED])


@every_write
def test_one_write(writing: Scene, write: Callable[[Api, int], Json]) -> None:
    """Row 41: one event of origin `api`, no S; the watcher, which sees the file too, adds nothing."""
    answers: list[Json] = []
    for number in range(3):
        events = writing.observe(partial(_keep, answers, write, writing.api, number))
        check_lines(events, [EXPECTED[write].format(number, number + 1)])
        assert (events[0]["origin"], events[0]["offset"]) == ("api", answers[-1]["offset"])
        assert write is deleted or events[0]["revision"] == answers[-1]["revision"]
    writing.check()


@every_write
def test_a_hundred_writes_at_once(writing: Scene, write: Callable[[Api, int], Json]) -> None:
    """Row 41: to a hundred entries: a hundred events, each that of its answer, and nothing else."""
    answers: list[Json] = []
    events = writing.observe(
        lambda: answers.extend(at_once(lambda number: write(writing.api, number))), timeout_s=60
    )
    assert sorted(lines(events)) == sorted(
        EXPECTED[write].format(number, number + 1) for number in range(WRITES)
    )
    assert {event["origin"] for event in events} == {"api"}
    by_offset = {event["offset"]: event["entry_id"] for event in events}
    assert {answer["offset"]: answer["id"] for answer in answers} == by_offset
    writing.check()


def test_a_hundred_writes_at_once_to_one_entry(writing: Scene) -> None:
    """Row 41: a hundred fields of one file: none is lost, and each state is told once."""
    answers: list[Json] = []

    def write(number: int) -> Json:
        return done(ask(writing.api, "PATCH", "entry-7", {"field": f"field_{number}", "value": number}))

    events = writing.observe(lambda: answers.extend(at_once(write)), timeout_s=60)
    check_lines(events, ["U kb:entry-7 entry-7.md"] * WRITES)
    assert {event["origin"] for event in events} == {"api"}
    assert [(event["offset"], event["revision"]) for event in events] == sorted(
        (answer["offset"], answer["revision"]) for answer in answers
    )
    text = (writing.roots["kb"] / "entry-7.md").read_text(encoding="utf-8")
    assert all(f"field_{number}: {number}\n" in text for number in range(WRITES))
    writing.check()


def test_writes_and_saves_at_once(writing: Scene) -> None:
    """Row 41: fifty entries by REST while fifty others are saved on the disk: each once, by whom it was."""
    root = writing.roots["kb"]

    def save() -> None:
        for number in range(51, 101):
            write_entry(root / f"entry-{number}.md", f"entry-{number}", "Saved by hand.")
            time.sleep(0.001)

    def act() -> None:
        saving = threading.Thread(target=save)
        saving.start()
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda number: updated(writing.api, number), range(50)))
        saving.join()

    # The last may be a write, which has no S.
    events = writing.observe(act, until=lambda told: counts(told)["U"] >= WRITES, timeout_s=60)
    entries = only_entry_events(events)
    assert sorted(map(line, entries)) == sorted(
        f"U kb:entry-{number} entry-{number}.md" for number in range(1, 101)
    )
    told_by = {event["entry_id"]: event["origin"] for event in entries}
    assert told_by == {f"entry-{number}": "api" if number <= 50 else "disk" for number in range(1, 101)}
    assert sum(event["updated"] for event in events if event["type"] == "kb_synced") == 50
    writing.check()


def test_save_of_the_state_before_a_write(writing: Scene) -> None:
    """Row 41: an editor that saves over a write what was there before it, at once, is told too."""
    file = writing.roots["kb"] / "entry-9.md"
    before = file.read_bytes()

    def act() -> None:
        updated(writing.api, 8)
        file.write_bytes(before)

    for _ in range(5):
        told = writing.observe(act, until=lambda told: counts(told)["U"] >= 2 and counts(told)["S"] >= 1)
        # Where the machine stops between the save's truncation and its bytes, that is a problem for a moment.
        events = [event for event in told if lines([event]) != [synced("kb")]]
        check_lines(events, ["U kb:entry-9 entry-9.md", "U kb:entry-9 entry-9.md", synced("kb", updated=1)])
        assert [event["origin"] for event in events[:2]] == ["api", "disk"]
        assert events[1]["revision"] == revision_of(before)
    writing.check()


# -- the file that an editor saves at that moment --------------------------------------------

SAVES = 30


def in_place(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def by_rename(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, file)


def by_backup(file: Path, data: bytes) -> None:
    os.replace(file, f"{file}~")
    with file.open("xb") as opened:
        opened.write(data)
    os.unlink(f"{file}~")


class Contest:
    """An editor that saves, and a client that appends to what it read: which states were there."""

    def __init__(self, scene: Scene, save: Callable[[Path, bytes], None]) -> None:
        self.api, self.save = scene.api, save
        self.file = scene.roots["kb"] / "entry-5.md"
        self.generation = {revision_of(self.file.read_bytes()): -1}
        self.saves = 0
        self.answers: list[Json] = []
        self.bad: list[str] = []
        self.over = threading.Event()

    def edit(self) -> None:
        """Save again and again, each time something new; more slowly where the client gets no turn."""
        chance = random.Random(41)
        try:
            while self.saves < SAVES or (not self.answers and self.saves < 3 * SAVES):
                number = self.saves
                data = f"---\nid: entry-5\ntitle: Five\n---\n\neditor {number}\n".encode()
                self.generation[revision_of(data)] = number
                self.save(self.file, data)
                self.saves += 1
                time.sleep(chance.choice((0, 0.002, 0.01, 0.03, 0.08)) if self.saves < SAVES else 0.5)
        except FileExistsError:
            self.bad.append("a file came into the editor's gap")
        finally:
            self.over.set()

    def write(self) -> None:
        """Append a line to what was read, if that is still what is there."""
        while not self.over.is_set():
            entry = self.api.entry("kb", "entry-5")
            body = {"body": f"{entry['body']}\nclient {len(self.answers)}"}
            answer = ask(self.api, "PUT", "entry-5", body, match=entry["revision"])
            if answer.status not in (200, 409, 412):
                self.bad.append(f"{answer.status}: {answer.body!r}")
            if answer.status == 200:
                self.answers.append(answer.json())
                self.generation[answer.json()["revision"]] = self.generation[entry["revision"]]

    def run(self) -> None:
        """Both at once, until the editor is through and its last save is indexed."""
        with ThreadPoolExecutor(2) as pool:
            for ended in [pool.submit(self.edit), pool.submit(self.write)]:
                ended.result()
        eventually(
            lambda: self.api.entry("kb", "entry-5")["revision"] == revision_of(self.file.read_bytes()),
            what="the last state is indexed",
        )


@pytest.mark.parametrize("save", [in_place, by_rename, by_backup])
def test_writes_to_a_file_that_an_editor_saves(writing: Scene, save: Callable[[Path, bytes], None]) -> None:
    """Row 41: no edit is lost, each state is told once, a write's always as `api`, never a deletion."""
    contest = Contest(writing, save)
    events = [event for event in writing.observe(contest.run, timeout_s=60) if event["type"] != "kb_synced"]
    assert contest.bad == []
    assert f"editor {contest.saves - 1}\n" in contest.file.read_text(encoding="utf-8"), (
        "the last save is lost"
    )
    assert set(lines(events)) == {"U kb:entry-5 entry-5.md"}
    revisions = [event["revision"] for event in events]
    assert len(set(revisions)) == len(revisions), "a state was told twice"
    assert set(revisions) <= set(contest.generation), "a state was told that never was"
    generations = [contest.generation[revision] for revision in revisions]
    assert generations == sorted(generations), "a write brought an older edit back"
    assert contest.answers, "no write ever came through"
    by_api = {(event["offset"], event["revision"]) for event in events if event["origin"] == "api"}
    assert by_api == {(answer["offset"], answer["revision"]) for answer in contest.answers}
    writing.check()
