"""Where compiled forms and kernels are kept while tests run; to be imported before DOLFINx and numba are.

Subprocesses of tests inherit it, and so do the processes that share the serial tests.
"""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
if CACHE.name != "fem-models":
    CACHE /= "fem-models"
os.environ["XDG_CACHE_HOME"] = str(CACHE)
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "numba"))

# A process that needs a form which another one compiles waits for it, but by default for ten seconds only.
os.environ["XDG_CONFIG_HOME"] = str(CACHE / "config")
_OPTIONS = CACHE / "config" / "dolfinx" / "dolfinx_jit_options.json"
if not _OPTIONS.exists():
    _OPTIONS.parent.mkdir(parents=True, exist_ok=True)
    _draft = _OPTIONS.with_suffix(f".{os.getpid()}")
    _draft.write_text('{"timeout": 120}', encoding="utf-8")
    _draft.replace(_OPTIONS)
