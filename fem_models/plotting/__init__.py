"""Pictures of a finished run: `draw` reads a run directory and writes figures/*.png.

One process draws, after the run and without a display. Whole fields are read.
"""

from fem_models.plotting.figures import draw

__all__ = ["draw"]
