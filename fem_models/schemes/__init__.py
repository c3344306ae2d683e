"""Ways to take a step, and steady states."""

from fem_models.schemes.backward_euler import BackwardEuler
from fem_models.schemes.bdf2 import Bdf2
from fem_models.schemes.jko import Jko
from fem_models.schemes.jko_bdf2 import JkoBdf2

SCHEMES = {scheme.name: scheme for scheme in (BackwardEuler, Bdf2, Jko, JkoBdf2)}
