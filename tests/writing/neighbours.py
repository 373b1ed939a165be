"""Makes the test bed of `tests/reconcile` and the live app of `tests/server` importable here.

Imported for that alone, before them; also where only this folder's tests are run.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]

for _folder in ("reconcile", "server"):
    if str(_TESTS / _folder) not in sys.path:
        sys.path.append(str(_TESTS / _folder))
