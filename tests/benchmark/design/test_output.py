"""Files of glasses: the suffix is the format."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from amsbench.benchmark.design.folder import opened_folder
from amsbench.benchmark.design.output import format_of, write_results
from amsbench.errors import AmsbenchError

from .conftest import PROPERTY


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.qqq", "the suffix of no format"),
        ("a", "give one such as .extxyz"),
        ("a.xsd", r"holds one structure, not 2"),
        ("a.cjson", "cannot write"),
    ],
)
def test_a_suffix_that_is_no_format_of_several_structures_is_refused(name, words):
    with pytest.raises(AmsbenchError, match=words):
        format_of(Path(name), 2)


def test_a_format_of_one_structure_holds_one_glass():
    assert format_of(Path("a.xsd"), 1) == "xsd"


@pytest.mark.parametrize("suffix", [".extxyz", ".traj", ".cif"])
def test_the_content_is_that_of_the_suffix(designs, tmp_path, suffix):
    design = designs.run(count=2)
    output = tmp_path / f"glasses{suffix}"
    with opened_folder(tmp_path / "design", design.request.settings()) as folder:
        write_results(folder, output, design, format_of(output, 2))
        folder.check_output(output)
    written = read(output, ":", format=format_of(output, 2))
    assert len(written) == 2
    for atoms, glass in zip(written, design.frames, strict=True):
        assert np.allclose(atoms.get_scaled_positions(), glass.get_scaled_positions(), atol=1e-5)
        if suffix != ".cif":
            assert atoms.info[PROPERTY] == pytest.approx(glass.info[PROPERTY])
    assert (tmp_path / "design" / "table.csv").read_text().count("\n") == len(design.table) + 1


def test_a_foreign_file_is_not_overwritten(designs, tmp_path):
    design = designs.run(count=1)
    output = tmp_path / "glasses.extxyz"
    output.write_text("mine")
    with opened_folder(tmp_path / "design", design.request.settings()) as folder:
        with pytest.raises(AmsbenchError, match="was not written by the design"):
            folder.check_output(output)
        output.unlink()
        write_results(folder, output, design, "extxyz")
        output.write_text(output.read_text() + "mine")
        with pytest.raises(AmsbenchError, match="was not written by the design"):
            folder.check_output(output)
