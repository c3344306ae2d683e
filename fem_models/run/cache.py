"""The cache of compiled forms: what a killed compilation leaves behind would stop the next run."""

import contextlib
import tempfile
import time
from pathlib import Path

from dolfinx import jit

from fem_models.core.errors import InputError

# No compilation of ours takes as long.
_SECONDS = 60.0


def remove_abandoned() -> None:
    """Make the folder, and remove sources whose compilation was killed; call it on one process.

    FFCx takes a source without its mark for a compilation under way, waits for it, and gives up.

    Raises:
        InputError: The folder cannot be made or written.
    """
    folder = Path(jit.get_options()["cache_dir"]).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"The folder {folder} for compiled forms cannot be written ({error.strerror}): name another by "
            "XDG_CACHE_HOME in the environment."
        ) from None
    for source in folder.glob("*.c"):
        with contextlib.suppress(OSError):
            age = time.time() - source.stat().st_mtime
            if age > _SECONDS and not source.with_suffix(".c.cached").exists():
                source.unlink()


def wait_for_others() -> None:
    """Let this process wait longer for a form that another one compiles, as points of a sweep do at once."""
    name = "timeout"
    _, meaning = jit.DOLFINX_DEFAULT_JIT_OPTIONS[name]
    jit.DOLFINX_DEFAULT_JIT_OPTIONS[name] = (int(_SECONDS), meaning)
