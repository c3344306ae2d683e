"""What the tests of solvers share."""

import pytest
from petsc4py import PETSc


@pytest.fixture
def database():
    """The options database; what a test puts into it is taken out again."""
    options = PETSc.Options()
    before = options.getAll()
    yield options
    for name in set(options.getAll()) - set(before):
        options.delValue(name)
