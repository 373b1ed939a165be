"""Which KBs a command line means, where the state lies, who may listen, which token counts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pyrite_watch import settings
from pyrite_watch.errors import (
    ConfigError,
    DuplicateKbError,
    DuplicateRootError,
    NoKnowledgeBaseError,
    RootMissingError,
    TokenNeededError,
    UsageError,
)
from pyrite_watch.kb_files import MAX_YAML_BYTES, read_kb_yaml
from pyrite_watch.settings import (
    Settings,
    check_listen,
    check_state_dir,
    default_state_dir,
    resolve_kbs,
    resolve_token,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def make_kb(folder: Path, text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kb.yaml").write_text(text, "utf-8")
    return folder


def write_config(folder: Path, text: str) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(text, "utf-8")
    return {"PYRITE_DATA_DIR": str(folder)}


def names(paths: list[str], environ: Mapping[str, str] | None = None) -> list[str]:
    return [kb.name for kb in resolve_kbs(paths, environ or {})]


class TestPaths:
    def test_a_folder_with_kb_yaml_is_one_kb(self, tmp_path: Path) -> None:
        """Its sub-folders are not looked at, even if they have a kb.yaml of their own."""
        make_kb(tmp_path / "notes")
        make_kb(tmp_path / "notes" / "inner")
        (kb,) = resolve_kbs([str(tmp_path / "notes")], {})
        assert (kb.name, kb.root, kb.source, kb.kb_type) == ("notes", tmp_path / "notes", "path", "generic")

    def test_a_folder_of_kbs_gives_them_by_name(self, tmp_path: Path) -> None:
        """Only direct sub-folders with a kb.yaml count; hidden ones do not."""
        for name in ("zeta", "alpha", ".trash", "deep/kb"):
            make_kb(tmp_path / name)
        (tmp_path / "plain").mkdir()
        assert names([str(tmp_path)]) == ["alpha", "zeta"]

    def test_a_folder_without_any_kb_yaml_is_a_kb(self, tmp_path: Path) -> None:
        """A first try needs no kb.yaml."""
        (tmp_path / "plain" / "sub").mkdir(parents=True)
        assert names([str(tmp_path / "plain")]) == ["plain"]

    def test_the_order_of_the_paths_is_kept(self, tmp_path: Path) -> None:
        """The first KB that has an entry answers for it, so users choose the order."""
        make_kb(tmp_path / "b")
        make_kb(tmp_path / "a")
        assert names([str(tmp_path / "b"), str(tmp_path / "a")]) == ["b", "a"]

    def test_a_dot_is_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is named like the folder, and the root is absolute."""
        monkeypatch.chdir(make_kb(tmp_path / "here"))
        (kb,) = resolve_kbs(["."], {})
        assert (kb.name, kb.root) == ("here", tmp_path / "here")

    def test_a_tilde_is_the_home_of_the_environment(self, tmp_path: Path) -> None:
        """Also behind a name, where no shell expands it."""
        make_kb(tmp_path / "notes")
        home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
        assert names(["~/notes"], home) == ["notes"]
        assert names(["n=~/notes"], home) == ["n"]

    @posix
    def test_two_dots_behind_a_link_lead_to_the_parent_of_its_target(self, tmp_path: Path) -> None:
        """os.path.abspath would drop the pair from the text and watch another folder."""
        make_kb(tmp_path / "real" / "sub")
        make_kb(tmp_path / "real" / "wanted")
        make_kb(tmp_path / "wanted")
        (tmp_path / "link").symlink_to(tmp_path / "real" / "sub")
        (kb,) = resolve_kbs([f"{tmp_path}/link/../wanted"], {})
        assert kb.root == tmp_path / "real" / "wanted"

    @posix
    def test_a_root_that_is_a_link_stays_a_link(self, tmp_path: Path) -> None:
        """It may lead elsewhere tomorrow; its name is the link's."""
        make_kb(tmp_path / "real")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        (kb,) = resolve_kbs([str(tmp_path / "link")], {})
        assert (kb.name, kb.root) == ("link", tmp_path / "link")

    def test_nested_roots_are_two_kbs(self, tmp_path: Path) -> None:
        """Whose files are whose is decided elsewhere."""
        make_kb(tmp_path / "outer" / "inner")
        make_kb(tmp_path / "outer")
        assert names([f"{tmp_path}/outer", f"{tmp_path}/outer/inner"]) == ["outer", "inner"]

    @pytest.mark.parametrize("path", ["missing", "file", "n=missing", "./a=b"])
    def test_a_root_that_is_no_folder_cannot_start(
        self, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exit 3: it could be right another time."""
        (tmp_path / "file").write_text("x")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RootMissingError) as caught:
            resolve_kbs([path], {})
        assert caught.value.exit_code == 3
        assert str(tmp_path) in str(caught.value)

    def test_one_root_twice_is_refused(self, tmp_path: Path) -> None:
        """Two names do not make two folders; exit 2."""
        root = make_kb(tmp_path / "notes")
        with pytest.raises(DuplicateRootError) as caught:
            resolve_kbs([str(root), f"other={root}/"], {})
        assert caught.value.exit_code == 2

    @posix
    def test_one_root_twice_through_a_link_is_refused(self, tmp_path: Path) -> None:
        """Each change would be told twice."""
        root = make_kb(tmp_path / "notes")
        (tmp_path / "link").symlink_to(root)
        with pytest.raises(DuplicateRootError):
            resolve_kbs([str(root), str(tmp_path / "link")], {})

    def test_two_kbs_of_one_name_are_refused(self, tmp_path: Path) -> None:
        """The message names both, and what to type; exit 2."""
        first, second = make_kb(tmp_path / "a" / "notes"), make_kb(tmp_path / "b" / "notes")
        with pytest.raises(DuplicateKbError) as caught:
            resolve_kbs([str(first), str(second)], {})
        assert str(caught.value) == f"Two knowledge bases are named 'notes': {first} and {second}."
        assert caught.value.exit_code == 2
        assert names([str(first), f"other={second}"]) == ["notes", "other"]


class TestNames:
    def test_name_equals_path_names_the_kb(self, tmp_path: Path) -> None:
        """The name in kb.yaml only informs."""
        root = make_kb(tmp_path / "folder", "name: other")
        assert names([f"boyd={root}"]) == ["boyd"]
        assert names([str(root)]) == ["folder"]

    def test_a_folder_with_an_equals_sign_is_a_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What literally exists is meant literally."""
        make_kb(tmp_path / "a=b")
        make_kb(tmp_path / "b")
        monkeypatch.chdir(tmp_path)
        assert names(["a=b"]) == ["a=b"]
        assert names(["c=a=b"]) == ["c"]

    def test_one_name_for_several_kbs_is_refused(self, tmp_path: Path) -> None:
        """Which of them would it be?"""
        make_kb(tmp_path / "one")
        make_kb(tmp_path / "two")
        with pytest.raises(UsageError, match="holds 2 knowledge bases") as caught:
            resolve_kbs([f"n={tmp_path}"], {})
        assert caught.value.hint == f"Name one of them: n={tmp_path / 'one'}"

    def test_a_name_goes_to_the_only_kb_of_a_folder(self, tmp_path: Path) -> None:
        """There is no doubt which one is meant."""
        make_kb(tmp_path / "one")
        (kb,) = resolve_kbs([f"n={tmp_path}"], {})
        assert (kb.name, kb.root) == ("n", tmp_path / "one")

    @pytest.mark.parametrize("typed", ["={}", " ={}", "..={}", "a\nb={}", "é" * 101 + "={}", "\udcff={}"])
    def test_a_name_that_no_url_can_hold_is_refused(self, tmp_path: Path, typed: str) -> None:
        """The message is safe to print and says what to type."""
        with pytest.raises(UsageError) as caught:
            resolve_kbs([typed.format(make_kb(tmp_path / "notes"))], {})
        assert "NAME=" in caught.value.hint
        assert f"{caught.value}".isprintable()
        assert caught.value.exit_code == 2

    @posix
    def test_a_folder_whose_name_is_not_utf8_needs_a_name(self, tmp_path: Path) -> None:
        """It is watched under another name."""
        root = make_kb(Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")))
        with pytest.raises(UsageError, match="not valid UTF-8"):
            resolve_kbs([str(root)], {})
        assert names([f"good={root}"]) == ["good"]

    @pytest.mark.parametrize("typed", ["", "name="])
    def test_an_empty_path_is_refused(self, typed: str) -> None:
        """An unset shell variable must not mean the current folder."""
        with pytest.raises(UsageError, match="no path"):
            resolve_kbs([typed], {})


class TestKbYaml:
    def test_it_tells_about_the_kb(self, tmp_path: Path) -> None:
        """Description, kind and the folders of the types; scalars are taken as they are written."""
        head = "name: 2024\ndescription: On war\nkb_type: events\n"
        types = "types:\n  note: {subdirectory: notes}\n  person:\n"
        about = read_kb_yaml(make_kb(tmp_path, head + types))
        assert about.name == "2024"
        (kb,) = resolve_kbs([f"n={tmp_path}"], {})
        assert (kb.description, kb.kb_type) == ("On war", "events")
        assert dict(kb.subdirectories) == {"note": "notes"}
        assert kb.problem is None

    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("a: 1\nb: [", 3, "not YAML"),
            ("a: 1\nb: c: d", 2, "mapping values are not allowed"),
            ("- a", 1, "not a mapping"),
            ("a: 1\ntypes: [x]", 2, "types is not a mapping"),
            ("types:\n  note:\n    subdirectory: [x]", 3, "subdirectory is not a text"),
            ("a: 1\n---\nb: 2", 2, "not YAML"),
            ("a: 1\nb: \x01", 2, "control characters"),
            ("a: *b", 1, "undefined alias"),
            ("a: 1\nb: " + "[" * 100_000, 2, "nest"),
            ("a: 1\nb: " + "- " * 1000, 2, "not YAML"),
            ("#" * (MAX_YAML_BYTES + 1), None, "larger than 256 KiB"),
        ],
    )
    def test_a_broken_one_is_a_problem_with_a_line(
        self, tmp_path: Path, text: str, line: int | None, words: str
    ) -> None:
        """The KB is watched all the same."""
        (kb,) = resolve_kbs([f"n={make_kb(tmp_path, text)}"], {})
        assert kb.problem is not None
        assert words in kb.problem
        assert (kb.problem_line, kb.kb_type) == (line, "generic")

    def test_bad_bytes_are_a_problem_with_a_line(self, tmp_path: Path) -> None:
        """libyaml tells an offset instead of a line there."""
        (tmp_path / "kb.yaml").write_bytes(b"a: 1\nb: 2\nc: \xff\n")
        about = read_kb_yaml(tmp_path)
        assert about.problem is not None
        assert about.problem_line == 3

    def test_what_is_right_counts_beside_what_is_wrong(self, tmp_path: Path) -> None:
        """A typo in one type does not send another type's files elsewhere."""
        about = read_kb_yaml(make_kb(tmp_path, "types: {a: 3, note: {subdirectory: notes}}\nkb_type: x"))
        assert about.problem is not None
        assert (dict(about.subdirectories), about.kb_type) == ({"note": "notes"}, "x")

    def test_cyclic_aliases_and_merge_bombs_do_no_harm(self, tmp_path: Path) -> None:
        """No object is built from what a stranger's KB says."""
        bomb = "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))
        about = read_kb_yaml(make_kb(tmp_path, f"a0: &a0 {{x: 1}}\n{bomb}\nloop: &l [*l]\nkb_type: x"))
        assert (about.problem, about.kb_type) == (None, "x")

    @posix
    def test_a_fifo_does_not_hold_up_the_start(self, tmp_path: Path) -> None:
        """Opening it for reading would wait for a writer."""
        os.mkfifo(tmp_path / "kb.yaml")
        assert read_kb_yaml(tmp_path).problem == "kb.yaml cannot be used: it is not a regular file."

    @pytest.mark.skipif(sys.platform != "linux", reason="counts the descriptors in /proc")
    def test_a_folder_of_its_name_leaves_no_descriptor_open(self, tmp_path: Path) -> None:
        """Bug: each look at it left one behind."""
        (tmp_path / "kb.yaml").mkdir()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            assert read_kb_yaml(tmp_path).problem == "kb.yaml cannot be used: it is not a regular file."
        assert len(os.listdir("/proc/self/fd")) == before

    @posix
    def test_a_broken_link_is_a_kb_with_a_problem(self, tmp_path: Path) -> None:
        """Somebody meant this folder to be a KB."""
        (tmp_path / "kb").mkdir()
        (tmp_path / "kb" / "kb.yaml").symlink_to("nowhere")
        (kb,) = resolve_kbs([str(tmp_path)], {})
        assert kb.name == "kb"
        assert kb.problem is not None


class TestConfig:
    def test_it_names_the_kbs(self, tmp_path: Path) -> None:
        """Its values win over kb.yaml's; paths are relative to its folder."""
        make_kb(tmp_path / "notes", "description: of kb.yaml\nkb_type: events")
        make_kb(tmp_path / "more", "description: of kb.yaml\nkb_type: events")
        environ = write_config(
            tmp_path / "config",
            "knowledge_bases:\n"
            "- {name: boyd, path: ../notes, description: mine, kb_type: research, read_only: yes}\n"
            "- {path: ~/more}\n",
        )
        first, second = resolve_kbs([], environ | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
        assert (first.name, first.root, first.source) == ("boyd", tmp_path / "notes", "config")
        assert (first.description, first.kb_type, first.read_only) == ("mine", "research", True)
        assert (second.name, second.description, second.kb_type) == ("more", "of kb.yaml", "events")
        assert second.read_only is False

    def test_where_it_lies(self, tmp_path: Path) -> None:
        """PYRITE_DATA_DIR goes before PYRITE_CONFIG_DIR goes before ~/.pyrite; empty is unset."""
        home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
        for place in ("data", "config", ".pyrite"):
            make_kb(tmp_path / f"kb-{place}")
            write_config(tmp_path / place, f"knowledge_bases: [{{path: ../kb-{place}}}]")
        both = home | {"PYRITE_DATA_DIR": "~/data", "PYRITE_CONFIG_DIR": str(tmp_path / "config")}
        assert names([], both) == ["kb-data"]
        assert names([], both | {"PYRITE_DATA_DIR": ""}) == ["kb-config"]
        assert names([], home) == ["kb-.pyrite"]

    @pytest.mark.parametrize(
        "text", [None, "", "# nothing", "knowledge_bases:", "knowledge_bases: []", "a: 1"]
    )
    def test_one_that_names_none_is_one_clear_error(self, tmp_path: Path, text: str | None) -> None:
        """It says what to type; exit 2."""
        environ = {"PYRITE_DATA_DIR": str(tmp_path)} if text is None else write_config(tmp_path, text)
        with pytest.raises(NoKnowledgeBaseError) as caught:
            resolve_kbs([], environ)
        assert str(tmp_path / "config.yaml") in str(caught.value)
        assert "pyrite watch PATH" in caught.value.hint
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a: 1\nknowledge_bases: [", 3),
            ("- a", 1),
            ("a: 1\nknowledge_bases: {a: b}", 2),
            ("knowledge_bases:\n- {path: x}\n- text", 3),
            ("knowledge_bases:\n- {path: x}\n- {name: x}", 3),
            ("knowledge_bases:\n- path: x\n  name: [x]", 3),
            ("knowledge_bases:\n- path: x\n  read_only: maybe", 3),
            ("knowledge_bases:\n- path: x\n- path: x\n  name: a/b", 3),
            ('knowledge_bases:\n- path: "a\\0b"', 2),
        ],
    )
    def test_a_broken_one_is_an_error_with_file_and_line(self, tmp_path: Path, text: str, line: int) -> None:
        """Fewer KBs than were written down would be worse than none."""
        with pytest.raises(ConfigError) as caught:
            resolve_kbs([], write_config(tmp_path, text))
        assert caught.value.line == line
        assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}, line {line}: ")

    def test_a_missing_root_stays_in(self, tmp_path: Path) -> None:
        """Its drive may be mounted later: the KB is unavailable, not unknown."""
        make_kb(tmp_path / "here")
        environ = write_config(tmp_path, "knowledge_bases: [{path: here}, {path: gone}]")
        assert names([], environ) == ["here", "gone"]

    def test_nothing_but_missing_roots_cannot_start(self, tmp_path: Path) -> None:
        """More likely a drive that is not mounted than a wish."""
        with pytest.raises(RootMissingError, match="gone"):
            resolve_kbs([], write_config(tmp_path, "knowledge_bases: [{path: gone}]"))


class TestStateDir:
    def test_it_depends_on_the_set_of_roots_and_names(self, tmp_path: Path) -> None:
        """Order and links do not matter; names do, as they are in the log."""
        a, b = make_kb(tmp_path / "a"), make_kb(tmp_path / "b")
        environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}

        def folder(*paths: str) -> Path:
            return default_state_dir(resolve_kbs(paths, {}), environ)

        assert folder(str(a), str(b)) == folder(str(b), str(a))
        assert len({folder(str(a)), folder(str(b)), folder(f"x={a}"), folder(str(a), str(b))}) == 4
        if sys.platform != "win32":
            (tmp_path / "link").symlink_to(a)
            assert folder(f"a={tmp_path / 'link'}") == folder(str(a))
            assert folder(str(a)).parent == tmp_path / "state" / "pyrite-watch" / "states"
        assert len(folder(str(a)).name) == 16

    def test_the_environment_may_choose_it(self, tmp_path: Path) -> None:
        """As it is, made absolute."""
        kbs = resolve_kbs([str(tmp_path)], {})
        home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
        assert default_state_dir(kbs, home | {"PYRITE_WATCH_STATE": "~/st"}) == tmp_path / "st"

    def test_inside_a_kb_is_refused(self, tmp_path: Path) -> None:
        """Its own commits would wake the watcher; exit 2."""
        kbs = resolve_kbs([str(make_kb(tmp_path / "notes"))], {})
        for inside in (tmp_path / "notes", tmp_path / "notes" / "a" / "b"):
            with pytest.raises(UsageError, match="lies inside the knowledge base 'notes'"):
                check_state_dir(inside, kbs)
        check_state_dir(tmp_path / "notes-state", kbs)
        check_state_dir(tmp_path, kbs)

    @posix
    def test_inside_a_kb_through_a_link_is_refused(self, tmp_path: Path) -> None:
        """Whichever of the two is the link."""
        make_kb(tmp_path / "notes")
        (tmp_path / "notes" / "sub").mkdir()
        (tmp_path / "root-link").symlink_to(tmp_path / "notes")
        (tmp_path / "state-link").symlink_to(tmp_path / "notes" / "sub")
        with pytest.raises(UsageError):
            check_state_dir(tmp_path / "notes" / "x", resolve_kbs([str(tmp_path / "root-link")], {}))
        with pytest.raises(UsageError):
            check_state_dir(tmp_path / "state-link" / "x", resolve_kbs([f"n={tmp_path / 'notes'}"], {}))

    def test_a_network_file_system_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two hosts could write one log; the message names the kind."""
        kbs = resolve_kbs([str(make_kb(tmp_path / "notes"))], {})
        monkeypatch.setattr(settings, "filesystem_type", lambda path: "nfs4")
        with pytest.raises(UsageError, match=r"network file system \(nfs4\)"):
            check_state_dir(tmp_path / "state", kbs)


class TestListen:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "::1", "[::1]"])
    def test_loopback_needs_no_token(self, host: str) -> None:
        """Only the user's own machine reaches it."""
        check_listen(host, None)

    @pytest.mark.parametrize(
        "host", ["0.0.0.0", "::", "", "192.168.1.2", "localhost.example.org", "127.1.example"]
    )
    def test_any_other_host_needs_one(self, host: str) -> None:
        """Exit 2, and the hint says how."""
        with pytest.raises(TokenNeededError) as caught:
            check_listen(host, None)
        assert caught.value.exit_code == 2
        assert "--token auto" in caught.value.hint
        check_listen(host, "secret")

    @pytest.mark.parametrize(
        ("typed", "host"), [("[::1]", "::1"), ("::1", "::1"), (" localhost", "localhost")]
    )
    def test_an_address_may_be_typed_as_it_stands_in_a_url(self, typed: str, host: str) -> None:
        """Bug: with brackets it passed, and could then not be bound."""
        assert check_listen(typed, None) == host

    def test_an_ipv4_loopback_in_ipv6_is_loopback(self) -> None:
        """Python before 3.13 does not say so."""
        check_listen("::ffff:127.0.0.1", None)
        with pytest.raises(TokenNeededError):
            check_listen("::ffff:10.0.0.1", None)


class TestToken:
    def test_the_option_wins_over_the_file_over_the_environment(self, tmp_path: Path) -> None:
        """White space around it belongs to the file, not to the token."""
        file = tmp_path / "token"
        file.write_text("  of-file\n")
        environ = {"PYRITE_TOKEN": "of-environ"}
        assert resolve_token("of-option", file, environ) == ("of-option", False)
        assert resolve_token(None, file, environ) == ("of-file", False)
        assert resolve_token(None, None, environ) == ("of-environ", False)
        assert resolve_token(None, None, {}) == (None, False)

    def test_auto_makes_a_new_one_each_time(self) -> None:
        """At least 24 random bytes."""
        (first, is_made), (second, _) = (
            resolve_token("auto", None, {}),
            resolve_token(None, None, {"PYRITE_TOKEN": "auto"}),
        )
        assert is_made
        assert first is not None
        assert len(first) >= 32
        assert first != second

    @pytest.mark.parametrize("token", ["", "  ", "two words", "sécret", "a\nb", "x" * 1025])
    def test_one_that_protects_nothing_is_refused(self, tmp_path: Path, token: str) -> None:
        """From every source, and without repeating it."""
        file = tmp_path / "token"
        file.write_text(token, "utf-8")
        sources: list[tuple[str | None, Path | None, dict[str, str]]] = [
            (token, None, {}),
            (None, file, {}),
            (None, None, {"PYRITE_TOKEN": token}),
        ]
        for source in sources:
            with pytest.raises(UsageError) as caught:
                resolve_token(*source)
            assert not token.strip() or token not in str(caught.value) + caught.value.hint
        with pytest.raises(UsageError, match=r"^--read-token ") as caught:
            resolve_token(token, None, {}, "--read-token")
        assert caught.value.hint.endswith("let one be made: --read-token auto.")

    def test_a_file_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        """Going on without a token would be the opposite of what was asked."""
        with pytest.raises(UsageError, match="cannot be read"):
            resolve_token(None, tmp_path / "missing", {"PYRITE_TOKEN": "x"})

    def test_the_repr_of_settings_shows_no_token(self, tmp_path: Path) -> None:
        """A repr ends up in logs."""
        assert "s3cret" not in repr(Settings((), tmp_path, token="s3cret", read_token="s3cret"))
