import pytest

from amsbench.benchmark.datasets.storage import load_dataset


@pytest.fixture(scope="session")
def silicon():
    """The bundled liquid silicon, whole."""
    return load_dataset("asi")
