"""Structure files: complete reading, and refusals that name file, structure and reason."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from amsbench.benchmark.system.structure_files import check_structure_suffix, read_structures
from amsbench.errors import AmsbenchError


@pytest.fixture
def frames():
    """Three structures of silicon and oxygen in cells of different size."""
    lattice = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3) / 2
    return [
        Atoms("Si2O6", scaled_positions=lattice + 0.1, cell=[edge, edge, edge + 1], pbc=True)
        for edge in (5.0, 5.5, 6.0)
    ]


def xyz(frames, *, between=""):
    """Text of an extended XYZ file."""
    blocks = []
    for frame in frames:
        cell = " ".join(map(str, frame.cell.array.ravel()))
        head = f'{len(frame)}\nLattice="{cell}" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
        atoms = zip(frame.symbols, frame.positions.tolist(), strict=True)
        blocks.append(head + "".join(f"{symbol} {x} {y} {z}\n" for symbol, (x, y, z) in atoms))
    return between.join(blocks)


def check_equal(read, frames):
    assert len(read) == len(frames)
    for one, two in zip(read, frames, strict=True):
        assert one.get_chemical_symbols() == two.get_chemical_symbols()
        np.testing.assert_allclose(one.positions, two.positions, atol=1e-6)
        np.testing.assert_allclose(one.cell.array, two.cell.array, atol=1e-6)


@pytest.mark.parametrize("between", ["", "\n", "  \n\n"])
@pytest.mark.parametrize("suffix", [".xyz", ".extxyz"])
def test_empty_lines_between_structures_lose_none(frames, tmp_path, between, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text(xyz(frames, between=between) + between)
    check_equal(read_structures(path), frames)


def test_an_at_sign_belongs_to_the_name_of_the_file(frames, tmp_path):
    (tmp_path / "a.xyz").write_text(xyz(frames))
    (tmp_path / "a.xyz@1").write_text("other")
    write(tmp_path / "POSCAR", frames[0], format="vasp")
    (tmp_path / "POSCAR").rename(tmp_path / "b@0.poscar")
    check_equal(read_structures(tmp_path / "b@0.poscar"), frames[:1])
    (tmp_path / "c@2.xyz").write_text(xyz(frames[:2]))
    check_equal(read_structures(tmp_path / "c@2.xyz"), frames[:2])


def test_a_folder_is_read_in_the_order_of_its_names(frames, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for k, frame in enumerate(frames):
        write(folder / f"{k}.cif", frame)
    (folder / ".hidden").write_text("no structure")
    read = read_structures(folder)
    assert [frame.cell.lengths()[0] for frame in read] == pytest.approx([5.0, 5.5, 6.0])
    (folder / "1.cif").write_text("nonsense")
    with pytest.raises(AmsbenchError, match=r"many/1\.cif"):
        read_structures(folder)
    (tmp_path / "none").mkdir()
    with pytest.raises(AmsbenchError, match="none holds no files"):
        read_structures(tmp_path / "none")


def dump(frames, columns="id type x y z"):
    """Text of a LAMMPS dump of silicon (type 1) and oxygen (type 2)."""
    text = ""
    for step, frame in enumerate(frames):
        edges = "".join(f"0.0 {edge}\n" for edge in frame.cell.lengths())
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
        text += f"ITEM: BOX BOUNDS pp pp pp\n{edges}ITEM: ATOMS {columns}\n"
        for k, (symbol, position) in enumerate(zip(frame.symbols, frame.positions, strict=True)):
            kind = symbol if "element" in columns else 1 if symbol == "Si" else 2
            text += f"{k + 1} {kind} {' '.join(map(str, position.tolist()))}\n"
    return text


def test_types_of_a_lammps_dump_need_their_elements(frames, tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text(dump(frames))
    check_equal(read_structures(path, ("Si", "O")), frames)
    with pytest.raises(AmsbenchError, match=r"a\.lammpstrj numbers its atoms by type .* --types Si,O"):
        read_structures(path)
    with pytest.raises(AmsbenchError, match=r"a\.lammpstrj has atoms of type 2, but --types Si names 1"):
        read_structures(path, ("Si",))
    with pytest.raises(AmsbenchError, match="'Silicon' is no chemical symbol"):
        read_structures(path, ("Silicon", "O"))
    path.write_text(dump(frames, "id element x y z"))
    check_equal(read_structures(path), frames)
    with pytest.raises(AmsbenchError, match="has elements, not atom types; leave out --types Si,O"):
        read_structures(path, ("Si", "O"))


@pytest.mark.parametrize("masses", [True, False])
def test_lammps_data_files_are_recognised_by_their_content(frames, tmp_path, masses):
    path = tmp_path / "a.data"
    write(path, frames[0], format="lammps-data", masses=masses, specorder=["Si", "O"])
    if masses:
        check_equal(read_structures(path), frames[:1])
    else:
        with pytest.raises(AmsbenchError, match=r"a\.data numbers its atoms by type"):
            read_structures(path)
        check_equal(read_structures(path, ("Si", "O")), frames[:1])


def without(text, line):
    lines = text.split("\n")
    return "\n".join(lines[:line] + lines[line + 1 :])


def with_line_twice(text, line):
    lines = text.split("\n")
    return "\n".join([*lines[: line + 1], *lines[line:]])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda text: with_line_twice(text, 12),
            r"line 21 of .*a\.xyz is '.*' and should be the atom count of structure 2",
        ),
        (
            lambda text: without(text, 22),
            r"structure 2 in .* \(from line 21\) should have 8 atoms, but the file ends",
        ),
        (
            lambda text: text.replace("8\n", "1000000000000000000\n", 1),
            "should have 1000000000000000000 atoms",
        ),
        (lambda text: text.replace("8\n", "-8\n", 1), "should have -8 atoms"),
        (lambda text: "\0" * 100 + text, r"line 1 of .* is '\\x00"),
        (lambda text: text.replace("Si", "Ѕі", 1), r"structure 0 in .* \(lines 1 to 10\) cannot be read"),
        (lambda text: text.replace("5.0 0.0", "5.0", 1), r"structure 0 in .* cannot be read"),
        (lambda text: "\n", "holds no structures"),
    ],
    ids=["count", "end", "huge", "negative", "nul", "symbol", "lattice", "empty"],
)
def test_a_damaged_xyz_file_is_named_with_structure_and_line(frames, tmp_path, harm, message):
    path = tmp_path / "a.xyz"
    path.write_text(harm(xyz(frames)))
    with pytest.raises(AmsbenchError, match=message):
        read_structures(path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (np.eye(3) * 1e160, "has a cell without a sensible volume"),
        (np.zeros((3, 3)), "has no periodic cell"),
        (np.diag([11, 11, 0]), "has a cell without a sensible volume"),
        (np.diag([0.1, 11, 11]), "has a cell with a height of 0.1 A"),
        ([[11, 0, 0], [10.9999, 0.02, 0], [0, 0, 11]], "has a cell with a height of 0.02 A"),
        ([[11, 0, 0], [1100, 11, 0], [0, 0, 11]], "has a cell with a height of 0.11 A"),
        (np.eye(3) * 1.5, r"has 0.422 A\^3 per atom, less than any solid"),
    ],
)
def test_cells_of_no_sensible_size_are_faults_of_their_structure(frames, tmp_path, cell, message):
    frames[1].set_cell(cell)
    (tmp_path / "a.xyz").write_text(xyz(frames))
    structures = read_structures(tmp_path / "a.xyz")
    assert list(structures.faults) == [1]
    structures.check(all_sound=False)  # the others can be scored
    with pytest.raises(AmsbenchError, match=rf"structure 1 in .*a\.xyz {message}"):
        structures.check(all_sound=True)


@pytest.mark.parametrize(
    ("value", "fault"),
    [(1e15, "an atom more than 1e\\+06 A from the origin"), (np.nan, "positions .* not finite")],
)
def test_positions_that_are_lost_are_faults_of_their_structure(frames, tmp_path, value, fault):
    frames[2].positions[3, 1] = value
    (tmp_path / "a.xyz").write_text(xyz(frames))
    structures = read_structures(tmp_path / "a.xyz")
    assert list(structures.faults) == [2]
    with pytest.raises(AmsbenchError, match=rf"structure 2 in .*a\.xyz has {fault}"):
        structures.check(all_sound=True)


def test_a_file_of_faulty_structures_is_refused(frames, tmp_path):
    (tmp_path / "a.xyz").write_text(xyz([Atoms(cell=[5] * 3, pbc=True)] * 2))
    with pytest.raises(AmsbenchError, match=r"structure 0 in .*a\.xyz has no atoms"):
        read_structures(tmp_path / "a.xyz").check(all_sound=False)


def test_left_handed_cells_are_cells(frames, tmp_path):
    frames[1].set_cell(np.diag([5.5, 5.5, -6.5]))
    (tmp_path / "a.xyz").write_text(xyz(frames))
    check_equal(read_structures(tmp_path / "a.xyz"), frames)


def test_only_extended_xyz_is_written(tmp_path):
    check_structure_suffix(tmp_path / "a.extxyz")
    check_structure_suffix(tmp_path / "a.xyz")
    with pytest.raises(AmsbenchError, match=r"as \.extxyz, not '\.cif'"):
        check_structure_suffix(tmp_path / "a.cif")
