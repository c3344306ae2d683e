"""Checkpoint files: bit for bit on any number of ranks, and one sentence where they are not whole."""

import resource

import numpy as np
import pytest
from dolfinx import fem
from mpi4py import MPI

from fem_models.core.checkpoint_file import FORMAT, Checkpoint, read_checkpoint, write_checkpoint
from fem_models.core.errors import InputError, OutputError
from fem_models.meshes import domains as meshes
from fem_models.nodal.numbering import original_numbers

COMM = MPI.COMM_WORLD
FACTS = {"time": 0.1, "name": "ρ", "steps": [1, 2]}


def keys_of(comm, degree=1, h=0.2):
    mesh = meshes.build(comm, "disk", h=h).mesh
    return original_numbers(fem.functionspace(mesh, ("Lagrange", degree)))


def arrays(keys):
    """Values that follow from the keys alone, bit for bit."""
    one = np.sin(1e3 * keys.astype(float)) + 1e-300
    return {"state.rho": one, "guess.phi": np.column_stack([one**3, keys / 7.0])}


@pytest.mark.parallel
@pytest.mark.parametrize("degree", [1, 2])
def test_any_number_of_ranks_reads_what_any_other_wrote(shared_tmp_path, degree):
    path = shared_tmp_path / "a.ckpt"
    for writers, readers in ((COMM, MPI.COMM_SELF), (MPI.COMM_SELF, COMM), (COMM, COMM)):
        if writers == COMM or COMM.rank == 0:
            keys = keys_of(writers, degree)
            write_checkpoint(writers, path, keys, Checkpoint(arrays(keys), FACTS))
        COMM.Barrier()
        keys = keys_of(readers, degree)
        found = read_checkpoint(readers, path, keys)
        assert found.facts == FACTS and list(found.arrays) == ["state.rho", "guess.phi"]
        for name, expected in arrays(keys).items():
            np.testing.assert_array_equal(found.arrays[name], expected)
        COMM.Barrier()
    assert [entry.name for entry in shared_tmp_path.iterdir()] == ["a.ckpt"]


@pytest.fixture
def whole(tmp_path):
    keys = keys_of(MPI.COMM_SELF)
    write_checkpoint(MPI.COMM_SELF, tmp_path / "a.ckpt", keys, Checkpoint(arrays(keys), FACTS))
    return tmp_path / "a.ckpt", keys


def test_others_can_read_the_arrays(whole):
    path, keys = whole
    np.testing.assert_array_equal(np.fromfile(path, count=len(keys)), arrays(np.sort(keys))["state.rho"])


def test_cut_off_files_are_refused(whole):
    path, keys = whole
    data = path.read_bytes()
    for length in (0, 1, 21, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="is no checkpoint of fem-models, or the end of it is missing"):
            read_checkpoint(MPI.COMM_SELF, path, keys)
    path.write_bytes(data[:100] + data[101:])
    with pytest.raises(InputError, match="is damaged"):
        read_checkpoint(MPI.COMM_SELF, path, keys)


def test_a_bit_that_has_changed_is_found(whole):
    path, keys = whole
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for bit in rng.integers(0, 64 * 3 * len(keys), 20):
        damaged = bytearray(data)
        damaged[int(bit) // 8] ^= 1 << (int(bit) % 8)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            read_checkpoint(MPI.COMM_SELF, path, keys)


def test_newer_ones_and_other_meshes_are_refused(whole, monkeypatch):
    path, keys = whole
    with pytest.raises(InputError, match="is of another mesh"):
        read_checkpoint(MPI.COMM_SELF, path, keys_of(MPI.COMM_SELF, h=0.3))
    monkeypatch.setattr("fem_models.core.checkpoint_file.FORMAT", FORMAT - 1)
    with pytest.raises(InputError, match="newer version of fem-models"):
        read_checkpoint(MPI.COMM_SELF, path, keys)
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(MPI.COMM_SELF, path.with_name("b.ckpt"), keys)


def test_without_room_the_earlier_one_stays(whole):
    path, keys = whole
    before = path.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, usual[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_checkpoint(MPI.COMM_SELF, path, keys, Checkpoint(arrays(keys), FACTS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a.ckpt"]


@pytest.mark.parallel
def test_one_rank_without_room_tells_all(shared_tmp_path):
    path, keys = shared_tmp_path / "a.ckpt", keys_of(COMM)
    write_checkpoint(COMM, path, keys, Checkpoint(arrays(keys), FACTS))
    before = path.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    if COMM.rank == COMM.size - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, usual[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.ckpt cannot be written: .*\."):
            write_checkpoint(COMM, path, keys, Checkpoint(arrays(keys), FACTS))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert path.read_bytes() == before
    COMM.Barrier()
    assert [entry.name for entry in path.parent.iterdir()] == ["a.ckpt"]
    COMM.Barrier()
