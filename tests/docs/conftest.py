"""Loads the scripts of the documentation as modules."""

import importlib.util
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def script():
    """Returns a function of the path of a script below ``docs``: its module, a new one each time."""

    def load(path):
        folder = str((DOCS / path).parent)
        if folder not in sys.path:
            sys.path.append(folder)  # as Python does for a script, of modules beside it
        spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
