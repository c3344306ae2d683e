"""The equations of the papers, as flows: each builder of `fem_models.systems`, whose result is a `Flow`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from fem_models.face.flow import Flow
from fem_models.flow.gradient_flow import GradientFlow
from fem_models.systems import chemotaxis as _chemotaxis
from fem_models.systems import excluded_volume as _excluded_volume
from fem_models.systems import fast_diffusion as _fast_diffusion
from fem_models.systems import fokker_planck as _fokker_planck
from fem_models.systems import poisson_nernst_planck as _ions
from fem_models.systems import two_component as _two_component


def _as_flow[**P](build: Callable[P, GradientFlow]) -> Callable[P, Flow]:
    @wraps(build)
    def make(*arguments: P.args, **named: P.kwargs) -> Flow:
        return Flow.of(build(*arguments, **named))

    return make


fokker_planck = _as_flow(_fokker_planck.fokker_planck)
fast_diffusion = _as_flow(_fast_diffusion.fast_diffusion)
excluded_volume = _as_flow(_excluded_volume.excluded_volume)
two_component = _as_flow(_two_component.two_component)
chemotaxis = _as_flow(_chemotaxis.chemotaxis)
poisson_nernst_planck = _as_flow(_ions.poisson_nernst_planck)
