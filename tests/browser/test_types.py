"""The page's modules are typed, and hold together."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.isolation import REPOSITORY

from pyrite_watch import __version__
from pyrite_watch.server.page import trim

WEB = REPOSITORY / "pyrite_watch" / "web"
OPTIONS = {
    "allowJs": "true",
    "checkJs": "true",
    "noEmit": "true",
    "strict": "true",
    "skipLibCheck": "true",
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "lib": "es2023,dom,dom.iterable",
}


def installed(package: str) -> Path:
    """The folder of an npm package that tests/run installed."""
    places = [os.environ.get("PYRITE_TEST_NPM"), REPOSITORY / ".venv-test" / "npm"]
    for place in places:
        folder = Path(place or "") / "node_modules" / package
        if place and folder.is_dir():
            return folder
    if shutil.which("npm") is None:
        pytest.skip(f"{package} is not there, and neither is npm to install it: the types are not checked")
    pytest.fail(f"{package} is missing: tests/run installs it with npm into .venv-test/npm")


def own_modules() -> list[Path]:
    """The page's scripts, without what was taken over from others."""
    return [file for file in sorted(WEB.rglob("*.js")) if "vendor" not in file.parts]


@pytest.mark.timeout(180)
def test_the_types_hold() -> None:
    """`tsc --checkJs --strict` finds nothing in any module."""
    compiler = installed("typescript") / "bin" / "tsc"
    options = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
    done = subprocess.run(
        ["node", str(compiler), *options, *map(str, own_modules())],
        capture_output=True,
        text=True,
        timeout=170,  # 5 s on a machine that is idle
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(180)
def test_what_is_served_says_the_same() -> None:
    """Without comments and indentation each script compiles to what it compiles to with them."""
    scripts = [file.read_text() for file in sorted(WEB.rglob("*.js"))]
    assert len(scripts) > 20
    both = compiled([*scripts, *(trim(text, ".js") for text in scripts)])
    assert both[: len(scripts)] == both[len(scripts) :]


def compiled(scripts: list[str]) -> list[str]:
    """What the compiler makes of each script by itself."""
    program = """
      const [compiler, texts] = JSON.parse(require("fs").readFileSync(0, "utf-8"));
      const ts = require(compiler);
      const compilerOptions = { target: "esnext", module: "esnext", removeComments: true };
      const options = { compilerOptions, fileName: "a.js", reportDiagnostics: true };
      const made = texts.map((text) => ts.transpileModule(text, options));
      const faults = made.flatMap(({ diagnostics }) => diagnostics.map((fault) => fault.messageText));
      process.stdout.write(JSON.stringify({ faults, texts: made.map(({ outputText }) => outputText) }));
    """
    done = subprocess.run(
        ["node", "-e", program],
        input=json.dumps([str(installed("typescript")), scripts]),
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["faults"] == []
    return list(told["texts"])


def test_trimming_leaves_out_comments_and_indentation() -> None:
    """And nothing that is no comment."""
    script = (
        "/**\n * Doc.\n */\nexport const f = /** @type {any} */ (a) => {\n"
        '  // Why.\n  return "http://x/"; // so\n};\n'
    )
    assert trim(script, ".js") == 'export const f=(a)=>{\nreturn "http://x/";\n};\n'
    assert trim("/* Why. */\na { b: c; }\n\n  d { }\n", ".css") == "a{b:c}\nd{}\n"
    assert trim("<!-- kept -->\n  x", ".html") == "<!-- kept -->\n  x"


def test_every_module_asks_to_be_checked() -> None:
    """Each begins with `// @ts-check`, so that an editor checks it, too."""
    assert [file.name for file in own_modules() if not file.read_text().startswith("// @ts-check\n")] == []


def test_the_scripts_know_their_version() -> None:
    """The address of the tabs' shared worker carries the product's version."""
    found = re.search(r'VERSION = "(.+)"', (WEB / "live" / "version.js").read_text())
    assert found is not None
    assert found[1] == __version__
