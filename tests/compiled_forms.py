"""Where compiled forms and kernels are kept while tests run; to be imported before DOLFINx and numba are.

Subprocesses of tests inherit it, and so do the processes that share the serial tests.
"""

import functools
import importlib.metadata
import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
if CACHE.name != "fem-models":
    CACHE /= "fem-models"
os.environ["XDG_CACHE_HOME"] = str(CACHE)
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE / "numba"))

# A process that needs a form which another one compiles waits for it, but by default for ten seconds only. On
# the small meshes of tests, compiling takes longer than what is compiled: little is optimised.
os.environ["XDG_CONFIG_HOME"] = str(CACHE / "config")
_FILE = CACHE / "config" / "dolfinx" / "dolfinx_jit_options.json"
_OPTIONS = '{"timeout": 120, "cffi_extra_compile_args": ["-O1", "-g0"]}'
if not _FILE.exists() or _FILE.read_text(encoding="utf-8") != _OPTIONS:
    _FILE.parent.mkdir(parents=True, exist_ok=True)
    _draft = _FILE.with_suffix(f".{os.getpid()}")
    _draft.write_text(_OPTIONS, encoding="utf-8")
    _draft.replace(_FILE)

# Each compilation asks setuptools, which asks all installed packages five times whether they extend it.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)


def remembered(find):
    """FFCx's function that loads a compiled form if there is one, which remembers what it has loaded."""
    loaded = {}

    @functools.wraps(find)
    def found(name, objects, *where):
        key = name, tuple(objects), *map(str, where)
        if key not in loaded:
            result = find(name, objects, *where)
            if result[1] is None:
                return result
            loaded[key] = result
        return loaded[key]

    return found
