"""The cache of compiled forms: what a killed compilation leaves behind would stop the next run."""

import contextlib
import time
from pathlib import Path

from dolfinx import jit

# No compilation of ours takes as long.
_SECONDS = 60.0


def remove_abandoned() -> None:
    """Remove sources whose compilation was killed; call it on one process.

    FFCx takes a source without its mark for a compilation under way, waits for it, and gives up.
    """
    for source in Path(jit.get_options()["cache_dir"]).expanduser().glob("*.c"):
        with contextlib.suppress(OSError):
            age = time.time() - source.stat().st_mtime
            if age > _SECONDS and not source.with_suffix(".c.cached").exists():
                source.unlink()
