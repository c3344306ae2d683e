"""The time schemes that a run file can name."""

from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2

SCHEMES = {scheme.name: scheme for scheme in (BackwardEuler, Bdf2, Jko, JkoBdf2)}
