import numpy as np
import pytest
import ufl
from references import DIRECT, bump, flow_of, mesh_of, orders, quadratic_potential, total
from scipy.integrate import solve_ivp
from scipy.sparse import block_array, diags_array

from fem_models.core.errors import InputError, SolveError
from fem_models.core.protocols import Memory
from fem_models.energies import Boltzmann, PowerLaw
from fem_models.exact.barenblatt import SourceSolution
from fem_models.flow.gradient_flow import GradientFlow, Species
from fem_models.jko.geodesic_extrapolation import GeodesicExtrapolation
from fem_models.jko.jko_bdf2 import JkoBdf2
from fem_models.jko.jko_step import Jko
from fem_models.linalg.newton import NewtonSettings
from fem_models.systems.chemotaxis import chemotaxis
from fem_models.systems.two_component import quadratic_potentials, two_component

CELLS, END = 40, 0.05
KRYLOV = NewtonSettings(linear="krylov")


# Flows on an interval without vacuum, with their potentials as functions of nodal values and coordinates.


def waves(x):
    return 1.0 + 0.5 * np.cos(np.pi * x) + 0.2 * np.cos(2 * np.pi * x)


def diffusion(m):
    energy = Boltzmann() if m == 1 else PowerLaw(m)
    flow = flow_of("interval", energy + quadratic_potential(2.0), cells=CELLS)

    def potentials(u, x, laplacian):
        internal = np.log(u) if m == 1 else m / (m - 1) * u ** (m - 1)
        return internal + x**2

    return flow, [waves], potentials


def signal():
    flow = chemotaxis(
        mesh_of("interval", cells=CELLS), epsilon=0.5, kappa=2.0, phi=lambda c: -ufl.tanh(c), m=2.0
    )

    def potentials(u, x, laplacian):
        rho, c = u
        of_c = -laplacian(c) + 2.0 * c - 0.5 * rho / np.cosh(c) ** 2
        return np.array([2.0 * rho - 0.5 * np.tanh(c), of_c])

    return flow, [waves, lambda x: 0.3 * np.cos(2 * np.pi * x)], potentials


def two():
    wells = quadratic_potentials(1.0, [(0.3,), (-0.3,)])
    flow = two_component(mesh_of("interval", cells=CELLS), wells, 2.0, 0.5)

    def potentials(u, x, laplacian):
        a, b = u
        # H = (ab/(1+a+b))²
        q = a * b / (1.0 + a + b)
        slopes = np.array([b * (1.0 + b), a * (1.0 + a)]) / (1.0 + a + b) ** 2
        wells = 0.5 * np.array([(x - 0.3) ** 2, (x + 0.3) ** 2])
        return 2.0 * u + wells + 0.5 * 2.0 * q * slopes

    return flow, [waves, lambda x: waves(0.5 * x)], potentials


PROBLEMS = {
    "fokker-planck": lambda: diffusion(1),
    "porous": lambda: diffusion(2),
    "porous-3": lambda: diffusion(3),
    "chemotaxis": signal,
    "two-component": two,
}


def radau(x, start, potentials, relaxed, end):
    """The flow of the finite volumes around uniform points, by SciPy's implicit Runge–Kutta method."""
    n, h = len(x), x[1] - x[0]
    volumes = np.full(n, h)
    volumes[[0, -1]] *= 0.5

    def laplacian(c):
        between = np.diff(c) / h
        return np.diff(between, prepend=0.0, append=0.0) / volumes

    def rate(time, flat):
        u = flat.reshape(-1, n)
        mu = potentials(u, x, laplacian)
        flux = 0.5 * (u[:, 1:] + u[:, :-1]) * np.diff(mu, axis=1) / h
        moved = np.diff(flux, axis=1, prepend=0.0, append=0.0) / volumes
        return np.where(relaxed[:, None], -mu, moved).ravel()

    near = diags_array([np.ones(n)] * 5, offsets=[-2, -1, 0, 1, 2], shape=(n, n))
    pattern = block_array([[near] * len(start)] * len(start))
    found = solve_ivp(
        rate, (0.0, end), start.ravel(), method="Radau", rtol=1e-9, atol=1e-11, jac_sparsity=pattern
    )
    return found.y[:, -1].reshape(-1, n)


@pytest.fixture(scope="module", params=PROBLEMS)
def smooth(request):
    """A flow, its start, and its exact evolution on the same mesh up to END."""
    flow, initial, potentials = PROBLEMS[request.param]()
    low, high = flow.points.min(), flow.points.max()
    x = np.linspace(low, high, CELLS + 1)
    exact = radau(x, np.array([f(x) for f in initial]), potentials, flow.relaxed, END)
    numbers = np.rint((flow.points[:, 0] - low) / (high - low) * CELLS).astype(int)
    start = flow.state({name: lambda p, f=f: f(p[0]) for name, f in zip(flow.names, initial, strict=True)})
    return flow, start, exact.T[numbers]


def error(flow, state, exact):
    return sum(
        total(flow, flow.geometry.volumes * np.abs(state - exact)[:, s]) for s in range(state.shape[1])
    )


def after(scheme, state, taus):
    for tau in taus:
        state = scheme.step(state, tau).state
    return state


def equal_steps(n, end=END):
    return [end / n] * n


def test_order_in_time_is_two_where_that_of_jko_is_one(smooth):
    flow, start, exact = smooth
    errors = {}
    for scheme in (Jko, JkoBdf2):
        errors[scheme] = [
            error(flow, after(scheme(flow, settings=DIRECT), start, equal_steps(n)), exact)
            for n in (8, 16, 32)
        ]
    assert orders(errors[Jko])[-1] == pytest.approx(1.0, abs=0.1)
    assert orders(errors[JkoBdf2])[-1] == pytest.approx(2.0, abs=0.2)
    assert errors[JkoBdf2][-1] < 0.05 * errors[Jko][-1]


def test_order_is_two_with_steps_of_changing_size_and_with_slabs(smooth):
    flow, start, exact = smooth
    errors = []
    for n in (3, 6, 12):
        taus = np.tile([1.0, 1.8, 0.7, 1.5, 0.5], n)
        errors.append(
            error(flow, after(JkoBdf2(flow, settings=DIRECT), start, taus / taus.sum() * END), exact)
        )
    assert orders(errors)[-1] == pytest.approx(2.0, abs=0.2)
    slabs = [
        error(flow, after(JkoBdf2(flow, settings=DIRECT, slabs=2), start, equal_steps(n)), exact)
        for n in (8, 16)
    ]
    assert orders(slabs)[-1] == pytest.approx(2.0, abs=0.35)


@pytest.mark.parametrize("m", [2, 3])
def test_fronts_of_barenblatt_profiles(m):
    # From t = .05 to .15 the front moves by a fifth of the way; h = .005.
    exact, times = SourceSolution(m, 1, 0.1), (0.05, 0.15)
    flow = GradientFlow(mesh_of("interval", cells=400), Species(), PowerLaw(m))
    start = flow.state(lambda x: exact(x, times[0]))
    x = flow.points.T
    found = {}
    for scheme in (Jko, JkoBdf2):
        found[scheme] = [after(scheme(flow, settings=DIRECT), start, equal_steps(n, 0.1)) for n in (4, 8)]
    errors = {
        scheme: [error(flow, state, exact(x, times[1])[:, None]) for state in states]
        for scheme, states in found.items()
    }
    assert orders(errors[JkoBdf2])[0] > 1.7
    assert errors[JkoBdf2][1] < 0.4 * errors[Jko][1]
    state = found[JkoBdf2][1][:, 0]
    inside = exact(x, times[1]) > 0.0
    mesh_size = 2.0 / 400
    assert x[0][state > 0.0].max() == pytest.approx(x[0][inside].max(), abs=3.0 * mesh_size)


@pytest.mark.parallel
def test_extrapolations_are_those_of_moving_particles():
    # N(a, σ²) moves to N(a', σ'²): particles at a + σz go on to a' + ½(a' - a) + (σ' + ½(σ' - σ))z.
    flow = flow_of("interval", Boltzmann(), cells=400)
    geodesics = GeodesicExtrapolation(flow, DIRECT)

    def normal(mean, width):
        return flow.state(lambda x: np.exp(-0.5 * ((x[0] - mean) / width) ** 2), 1.0)

    old = normal(0.5, 0.08)
    errors, linear = [], []
    for movement in (0.02, 0.01):
        older, expected = (
            normal(0.5 + movement, 0.08 - movement),
            normal(0.5 - 0.5 * movement, 0.08 + 0.5 * movement),
        )
        found = geodesics.beyond(old, geodesics.potentials(older, old, 2.0), 1.0)
        assert flow.masses(found)["rho"] == pytest.approx(1.0, rel=1e-12)
        errors.append(error(flow, found, expected))
        linear.append(error(flow, old + 0.5 * (old - older), expected))
    # The way to ρ⁰ is known to third order in the movement; on a line of densities all is of second.
    assert orders(errors)[0] == pytest.approx(3.0, abs=0.3)
    assert orders(linear)[0] < 2.3
    assert errors[1] < 0.05 * linear[1]


@pytest.mark.parametrize("linear", [DIRECT, KRYLOV], ids=["direct", "krylov"])
@pytest.mark.parametrize("flux", ["average", "upwind"])
@pytest.mark.parametrize("tau", [1e-3, pytest.param(1e-2, marks=pytest.mark.parallel), 10.0])
def test_guarantees(tau, flux, linear):
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.2)
    state = flow.state(bump((0.3, 0.1)), 1.0)
    scheme = JkoBdf2(flow, flux, linear)
    for _ in range(4):
        step = scheme.step(state, tau)
        state = step.state
        assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-12)
        assert flow.minima(state)["rho"] >= 0.0
        assert step.movement.excess <= 1e-9 * abs(flow.energy(state))
    assert flow.minima(state)["rho"] == 0.0


@pytest.mark.parallel
def test_volumes_that_are_no_shares_of_cells():
    # In 3D, with the volumes of Voronoi: energy falls and mass is exact.
    flow = flow_of("box", PowerLaw(2) + quadratic_potential(1.0), h=0.35)
    state = flow.state(bump((0.5, 0.5, 0.5), 0.3), 1.0)
    scheme = JkoBdf2(flow, "upwind", DIRECT)
    for _ in range(3):
        energy = flow.energy(state)
        state = scheme.step(state, 1e-2).state
        assert flow.masses(state)["rho"] == pytest.approx(1.0, rel=1e-12)
        assert flow.energy(state) < energy
    assert scheme.notes == []


@pytest.mark.parallel
def test_movement_is_that_of_the_part_from_the_extrapolation():
    flow = flow_of("interval", Boltzmann(), cells=100)
    start = flow.state(lambda x: np.exp(-0.5 * ((x[0] - 0.5) / 0.1) ** 2), 1.0)
    # The width grows by τ/σ², one in a hundred.
    scheme, tau = JkoBdf2(flow, settings=DIRECT), 1e-4
    first = scheme.step(start, tau)
    second = scheme.step(first.state, tau)
    # W = τ|∇δE/δρ| for a whole step, and two thirds of it here, up to O(τ²).
    ratio = second.movement.distances["rho"] / first.movement.distances["rho"]
    assert ratio == pytest.approx(2.0 / 3.0, abs=0.02)
    square = second.movement.distances["rho"] ** 2
    assert second.movement.actions["rho"] == pytest.approx(square / (2.0 * tau * 2.0 / 3.0), rel=1e-10)


@pytest.mark.parallel
def test_first_step_and_the_one_after_a_reset_are_jko_steps():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.2)
    start = flow.state(bump((0.3, 0.1)), 1.0)
    scheme, jko = JkoBdf2(flow, settings=DIRECT), Jko(flow, settings=DIRECT, weight=0.5)
    first = scheme.step(start, 0.01).state
    scale = flow.scale(first)[0]
    np.testing.assert_allclose(first, jko.step(start, 0.01).state, atol=1e-8 * scale)
    second, by_jko = scheme.step(first, 0.01).state, jko.step(first, 0.01).state
    assert flow.scale(np.abs(second - by_jko))[0] > 1e-3 * scale
    scheme.restore(Memory())
    np.testing.assert_allclose(scheme.step(first, 0.01).state, by_jko, atol=1e-8 * scale)


@pytest.mark.parallel
def test_extrapolations_that_the_mesh_does_not_resolve_are_left_out_and_noted():
    # The density races towards the origin, and the next step is much larger.
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(40.0), h=0.2)
    start = flow.state(bump((0.6, 0.0)), 1e-2)
    scheme = JkoBdf2(flow, settings=DIRECT)
    first = scheme.step(start, 1e-2).state
    assert scheme.notes == []
    second = scheme.step(first, 1e-1)
    assert second.clipped == 0.0
    assert len(scheme.notes) == 1
    assert scheme.notes[0].startswith("1 extrapolations")
    expected = Jko(flow, settings=DIRECT, weight=0.5).step(first, 1e-1).state
    np.testing.assert_allclose(second.state, expected, atol=1e-7 * flow.scale(expected)[0])


@pytest.mark.parallel
def test_cut_mass_is_reported():
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.1)
    start = flow.state(bump((0.4, 0.0)), 1e-2)
    scheme, tau = JkoBdf2(flow, settings=DIRECT), 1e-2
    first = scheme.step(start, tau).state
    second = scheme.step(first, tau)
    geodesics = GeodesicExtrapolation(flow, DIRECT)
    beyond = geodesics.beyond(first, geodesics.potentials(start, first, tau), tau / 3.0)
    below = -flow.masses(np.minimum(beyond, 0.0))["rho"]
    assert 1e-8 < below < 1e-4
    assert second.clipped == pytest.approx(below, rel=1e-6)
    assert flow.masses(second.state)["rho"] == pytest.approx(1e-2, rel=1e-12)


def test_a_failed_step_leaves_the_history_unchanged(monkeypatch):
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), h=0.2)
    start = flow.state(bump((0.3, 0.1)), 1.0)
    scheme, undisturbed = JkoBdf2(flow, settings=DIRECT), JkoBdf2(flow, settings=DIRECT)
    state = scheme.step(start, 1e-3).state
    undisturbed.step(start, 1e-3)

    def fails(self, old, tau):
        raise SolveError("no minimum")

    with monkeypatch.context() as patched, pytest.raises(SolveError, match="no minimum"):
        patched.setattr(Jko, "step", fails)
        scheme.step(state, 10.0)
    found, expected = (s.step(state, 1e-3).state for s in (scheme, undisturbed))
    np.testing.assert_allclose(found, expected, atol=1e-8 * flow.scale(expected)[0])


def test_input_errors():
    flow = flow_of("interval", Boltzmann(), cells=4)
    state = flow.state(lambda x: 1.0 + x[0] ** 2)
    for tau in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="must be a positive"):
            JkoBdf2(flow).step(state, tau)
    with pytest.raises(InputError, match="slabs"):
        JkoBdf2(flow, slabs=0)


def disk(alone):
    flow = flow_of("disk", PowerLaw(2) + quadratic_potential(4.0), alone=alone, h=0.2)
    return flow, flow.state(bump((0.3, 0.1)), 1.0)


def disk_with_signal(alone):
    flow = chemotaxis(mesh_of("disk", alone, h=0.2), epsilon=0.5)
    return flow, flow.state({"rho": lambda x: 1.0 + 0.5 * x[0], "c": lambda x: x[1]})


@pytest.mark.parallel
@pytest.mark.parametrize("settings", [DIRECT, KRYLOV], ids=["direct", "krylov"])
@pytest.mark.parametrize("problem", [disk, disk_with_signal])
def test_ranks_agree(problem, settings):
    energies = []
    for alone in (True, False):
        flow, state = problem(alone)
        energies.append(flow.energy(after(JkoBdf2(flow, settings=settings), state, [0.01, 0.02, 0.01])))
    assert energies[1] == pytest.approx(energies[0], rel=1e-8)
