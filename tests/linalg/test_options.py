import pytest

from fem_models.linalg.options import inner_options, managed


def test_options_are_in_the_database_while_they_are_used(database):
    before = database.getAll()
    options = managed({"snes_type": "newtonls", "snes_max_it": 5}, {"-snes_max_it": 9, "ksp_type": "cg"})
    assert database.getAll() == before
    with options.inserted_options():
        assert database["snes_max_it"] == "9"
        assert database["snes_type"] == "newtonls"
        assert database["ksp_type"] == "cg"
    assert database.getAll() == before


def test_options_are_removed_when_an_exception_passes(database):
    before = database.getAll()
    options = managed({"snes_max_it": 5}, {})
    with pytest.raises(ZeroDivisionError), options.inserted_options():
        raise ZeroDivisionError
    assert database.getAll() == before


def test_database_wins_and_stays(database):
    database["snes_max_it"] = "3"
    options = managed({"snes_max_it": 5, "ksp_rtol": 0.1}, {"snes_max_it": 7})
    with options.inserted_options():
        assert database["snes_max_it"] == "3"
        assert database["ksp_rtol"] == "0.1"
    assert database["snes_max_it"] == "3"
    assert "ksp_rtol" not in database.getAll()


def test_inner_options_are_those_with_an_inner_prefix_and_do_not_outlive_the_block(database):
    database["static_ksp_type"] = "cg"
    before = database.getAll()
    given = {"static_ksp_type": "gmres", "steady_ksp_rtol": 0.5, "steady_ksp_monitor": True, "ksp_rtol": 0.1}
    with pytest.raises(ZeroDivisionError), inner_options(given):
        found = database.getAll()
        assert found["static_ksp_type"] == "cg"  # the command line wins
        assert float(found["steady_ksp_rtol"]) == 0.5
        assert "steady_ksp_monitor" in found
        assert "ksp_rtol" not in found
        raise ZeroDivisionError
    assert database.getAll() == before
