"""The page's modules are typed, and hold together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.isolation import REPOSITORY

from pyrite_watch import __version__

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


def test_every_module_asks_to_be_checked() -> None:
    """Each begins with `// @ts-check`, so that an editor checks it, too."""
    assert [file.name for file in own_modules() if not file.read_text().startswith("// @ts-check\n")] == []


def test_the_scripts_know_their_version() -> None:
    """The address of the tabs' shared worker carries the product's version."""
    found = re.search(r'VERSION = "(.+)"', (WEB / "live" / "version.js").read_text())
    assert found is not None
    assert found[1] == __version__
