"""Files with a hash: what was written is read, and nothing else; sizes are checked before they are believed."""

import io
import json
import zipfile

import numpy as np
import pytest

from amsbench.benchmark.system.checked_files import (
    read_checked_json,
    read_checked_npz,
    read_npz,
    write_checked_json,
    write_checked_npz,
)
from amsbench.errors import AmsbenchError

ADVICE = "make it again"
DATA = {"numbers": [1, 2.5, float("inf")], "texts": {"a": "\u00e5"}, "none": None}


def test_json_comes_back(tmp_path):
    write_checked_json(tmp_path / "a.json", {**DATA, "pairs": ((1, 2),), "table": {1: 2}})
    assert read_checked_json(tmp_path / "a.json", ADVICE) == {**DATA, "pairs": [[1, 2]], "table": {"1": 2}}


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_come_back(tmp_path, compressed):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros(0, dtype=np.uint8)}
    write_checked_npz(tmp_path / "a.npz", arrays, compressed=compressed)
    found = read_checked_npz(tmp_path / "a.npz", ADVICE)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_a_changed_value_or_name_is_refused(tmp_path):
    write_checked_json(tmp_path / "a.json", DATA)
    (tmp_path / "b.json").write_text((tmp_path / "a.json").read_text())
    fields = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**fields, "none": 1}))
    write_checked_npz(tmp_path / "a.npz", {"a": np.zeros(3)})
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes())
    for name, read in (
        ("a.json", read_checked_json),
        ("b.json", read_checked_json),
        ("b.npz", read_checked_npz),
    ):
        with pytest.raises(
            AmsbenchError, match=f"{name} was changed or renamed: its hash does not match; {ADVICE}"
        ):
            read(tmp_path / name, ADVICE)


def test_arrays_that_unpack_to_more_than_memory_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(100_000))
    assert (tmp_path / "zeros.npz").stat().st_size < 2_000
    with pytest.raises(
        AmsbenchError, match="unpacks to 800128 bytes of arrays, more than 1000; build or import"
    ):
        read_npz(tmp_path / "zeros.npz", largest=1_000)
    # a header that promises more than the file holds
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(tmp_path / "lies.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(AmsbenchError, match=r"lies\.npz is damaged or is not an amsbench file"):
        read_npz(tmp_path / "lies.npz")
