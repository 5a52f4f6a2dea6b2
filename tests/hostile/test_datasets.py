"""Dataset files with changed bytes, arrays and metadata are refused, or are described, checked and written."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark.datasets import storage
from amsbench.benchmark.system.checked_files import read_npz, write_npz

RANDOM = st.randoms(use_true_random=True)
ORIGINAL = storage.bundled_path("asio2_paper")


@pytest.fixture(scope="module")
def contents():
    return Contents(read_npz(ORIGINAL))


class Contents(dict):
    """Arrays whose own text is short, because Hypothesis prints the arguments of an example."""

    def __repr__(self):
        return f"<{len(self)} arrays>"


def used(path, ends_well):
    """Whether every command that reads a dataset ends well."""
    for command in ("verify", "info"):
        code, *_ = ends_well("data", command, path)
        if code == 2:
            return
    ends_well("data", "export", path, "--output-file", "out.extxyz", codes=(0, 2))


@given(random=RANDOM)
def test_changed_bytes(random, changes, ends_well, tmp_path):
    path = tmp_path / "changed.npz"
    path.write_bytes(changes.bytes(random, ORIGINAL.read_bytes()))
    used(path, ends_well)


def changed_array(random, array, values):
    """The array with another type, shape or value."""
    change = random.choice(["type", "shape", "value", "value", "shorter", "longer", "empty"])
    try:
        match change:
            case "type":
                return array.astype(
                    random.choice([np.float32, np.int64, np.uint8, bool, "U8", np.complex128])
                )
            case "shape":
                return random.choice([array.ravel(), array[None], array.reshape(-1, 1), array[..., None]])
            case "value" if array.size:
                array = array.copy()
                array.flat[random.randrange(array.size)] = random.choice(values)
                return array
            case "shorter":
                return array[:-1]
            case "longer":
                return np.concatenate([array, array[:1]])
    except (ValueError, TypeError, OverflowError, IndexError):
        pass
    return array[:0] if array.ndim else array


@given(random=RANDOM)
@pytest.mark.filterwarnings("ignore:.*cast:RuntimeWarning", "ignore::numpy.exceptions.ComplexWarning")
def test_changed_arrays_and_metadata(random, contents, changes, ends_well, tmp_path):
    arrays = {name: contents[name] for name in storage.ARRAYS}
    metadata = json.loads(str(contents["metadata"]))
    numbers = [v for v in changes.values if isinstance(v, int | float) and v is not True]
    for _ in range(random.randint(1, 2)):
        if random.random() < 0.5:
            metadata = changes.json(random, metadata)
        else:
            name = random.choice(list(arrays))
            arrays[name] = changed_array(random, arrays[name], numbers)
    text = json.dumps(metadata)
    path = tmp_path / "changed.npz"
    # the hash fits the content, as somebody would write it on purpose
    stored = {**arrays, "metadata": np.array(text), "content_hash": np.array(storage._hash(arrays, text))}
    write_npz(path, stored)
    used(path, ends_well)
