"""What a record keeps of the observables of a run."""

from fem_models.run.diagnostics import Extremes


def test_extremes_are_those_of_all_states_and_increases_those_of_single_steps():
    record = Extremes({"energy": 3.0, "mass": 2.0, "flux": 0.0})
    for energy, mass, flux in ((1.0, 2.0, -4.0), (2.0, 2.5, 0.5), (1.5, 1.8, 0.0)):
        record.add({"energy": energy, "mass": mass, "flux": flux})
    assert record.increase("energy") == 1.0
    assert (record.least("energy"), record.most("energy")) == (1.0, 3.0)
    assert record.drift("mass") == 0.25
    # What begins with zero has no relative change.
    assert record.drift("flux") == 4.0
    assert (record.first["energy"], record.last["energy"]) == (3.0, 1.5)
