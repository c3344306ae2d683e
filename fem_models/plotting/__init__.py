"""Pictures of a run: `draw` reads a run directory and writes figures/*.png.

One process draws, after the run or beside it, and without a display. Whole fields are read.
"""

from fem_models.core.extras import require

for _library in ("matplotlib", "pyvista"):
    require(_library, extra="plot", what="Figures")

# After the check, which names what is missing before the import would fail.
from fem_models.plotting.figures import draw, drawn  # noqa: E402

__all__ = ["draw", "drawn"]
