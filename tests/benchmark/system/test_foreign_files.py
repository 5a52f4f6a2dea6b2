"""Structure files as people have them: each is read right or refused in one sentence, never guessed.

All hold beta-cristobalite, Si8O16 in a cube of 7.16 A, whose density is 2.174 g/cm^3, or are to be refused.
"""

import gzip
import io
import tarfile
import tempfile
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from amsbench.benchmark.system.structure_files import read_structures
from amsbench.errors import AmsbenchError
from amsbench.metrics.descriptors import GRAMS_PER_CM3

EDGE = 7.16
BOHR = 0.529177


def silica(seed=0, *, amplitude=0.05, tilt=0.0):
    """Beta-cristobalite with displaced atoms, sheared by ``tilt`` A along x per edge."""
    silicon = bulk("Si", "diamond", a=EDGE, cubic=True)
    pairs = [
        (i, shift)
        for i in range(8)
        for shift in (np.array(s) for s in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)))
        if i in (0, 2, 4, 6)
    ]
    oxygen = np.array([silicon.positions[i] + EDGE / 8 * shift for i, shift in pairs])
    atoms = Atoms("Si8O16", positions=[*silicon.positions, *oxygen], cell=[EDGE] * 3, pbc=True)
    cell = atoms.cell.array + np.array([[0, 0, 0], [tilt, 0, 0], [tilt / 2, -tilt, 0]])
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(amplitude, seed=seed)
    atoms.wrap()
    return atoms


def text_of(frames, form, **options):
    """A file of ASE's writers as text."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ASE about keywords of other programs
        write(Path(folder) / "x.json", frames, format=form, **options)
        return (Path(folder) / "x.json").read_text(encoding="utf-8")


def frames_of(count):
    return [silica(seed) for seed in range(count)]


@dataclass
class Foreign:
    """A file (or several) and what is to come of it.

    content: text or bytes by name; path: what is read, by default the only name
    count: structures, or None if the file is refused; refused: words of the sentence
    labels: ``info`` of the first structure that has to come with it
    """

    name: str
    content: dict
    count: int | None = 1
    refused: str = ""
    types: tuple = ()
    form: str | None = None
    path: str | None = None
    labels: dict = field(default_factory=dict)
    tilt: float = 0.0
    copies: int = 0


def one(name, content, **expected):
    return Foreign(name, {name: content}, **expected)


def dump(frames, columns="id type x y z", *, element=None, before="", bounds="pp pp pp"):
    """A LAMMPS dump: silicon is type 1 and oxygen type 2."""
    text = ""
    for step, frame in enumerate(frames):
        cell = frame.cell.array
        xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
        rows = np.array([[0, cell[0, 0]], [0, cell[1, 1]], [0, cell[2, 2]]])
        if np.any([xy, xz, yz]):
            x = [0, xy, xz, xy + xz]
            rows[0] += [min(x), max(x)]
            rows[1] += [min(0, yz), max(0, yz)]
            head = f"xy xz yz {bounds}"
            box = "".join(f"{low} {high} {t}\n" for (low, high), t in zip(rows, (xy, xz, yz), strict=True))
        else:
            head, box = bounds, "".join(f"{low} {high}\n" for low, high in rows)
        text += f"{before}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
        text += f"ITEM: BOX BOUNDS {head}\n{box}ITEM: ATOMS {columns}\n"
        scaled = frame.get_scaled_positions(wrap=False)
        # LAMMPS writes atoms in no order
        for k in np.random.default_rng(step).permutation(len(frame)):
            symbol = frame.symbols[int(k)]
            values = {
                "id": k + 1,
                "type": 1 if symbol == "Si" else 2,
                "element": element or symbol,
                "mass": frame.get_masses()[k],
                "q": 2.4 if symbol == "Si" else -1.2,
            }
            for axis, letter in enumerate("xyz"):
                values |= {letter: frame.positions[k, axis], f"{letter}u": frame.positions[k, axis]}
                values |= {f"{letter}s": scaled[k, axis], f"{letter}su": scaled[k, axis] + 2}
            text += " ".join(str(values[column]) for column in columns.split()) + "\n"
    return text


def data_file(frame, style, *, comment=True, masses="", charge="{:.1f}", images=False, first="LAMMPS data"):
    """A LAMMPS data file: silicon is type 1 and oxygen type 2."""
    cell = frame.cell.array
    text = f"{first}\n\n{len(frame)} atoms\n2 atom types\n\n"
    text += "".join(f"0.0 {cell[k, k]} {a}lo {a}hi\n" for k, a in enumerate("xyz"))
    if np.any([cell[1, 0], cell[2, 0], cell[2, 1]]):
        text += f"{cell[1, 0]} {cell[2, 0]} {cell[2, 1]} xy xz yz\n"
    text += f"\nMasses\n\n{masses}" if masses else ""
    text += f"\nAtoms{f' # {style}' if comment else ''}\n\n"
    for k, (symbol, position) in enumerate(zip(frame.symbols, frame.positions, strict=True)):
        kind = 1 if symbol == "Si" else 2
        q = charge.format(4 if symbol == "Si" else -2)
        columns = {
            "atomic": [kind],
            "charge": [kind, q],
            "molecular": [1, kind],
            "full": [1, kind, q],
        }[style]
        place = [*position, *([0, 0, 0] if images else [])]
        text += " ".join(map(str, [k + 1, *columns, *place])) + "\n"
    return text + "\nVelocities\n\n" + "".join(f"{k + 1} 0.0 0.0 0.0\n" for k in range(len(frame)))


def cif(cell="", *, loop="", formula="", sites=""):
    """A CIF with the symmetry of diamond for silicon at 5.431 A, or other lines."""
    return (
        f"data_x\n_cell_length_a {cell or 5.431}\n_cell_length_b {cell or 5.431}\n_cell_length_c {cell or 5.431}\n"
        f"_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n{formula}{loop}"
        f"loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n{sites}"
    )


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content.encode()))
    return buffer.getvalue()


def vasp4(frame, comment="Si O melt"):
    lines = text_of(frame, "vasp").splitlines()
    return "\n".join([comment, *lines[1:5], *lines[6:]]) + "\n"


def with_comma(text):
    return text.replace(".", ",")


MASSES = "1 28.0855\n2 15.9994\n"
XYZ = text_of(frames_of(3), "extxyz")
POSCAR = text_of(silica(), "vasp", direct=True)
CIF = text_of(silica(), "cif")
PDB = text_of(frames_of(2), "proteindatabank")
RES = text_of(silica(), "res")
GEN = text_of(silica(), "gen")

FILES = [
    # extended XYZ
    one("good.extxyz", XYZ, count=3),
    one("upper.XYZ", XYZ, count=3),
    one("blank_lines.xyz", XYZ.replace("\n24\n", "\n\n  \n24\n") + "\n\n", count=3),
    one("windows.xyz", XYZ.replace("\n", "\r\n"), count=3),
    one("old_mac.xyz", XYZ.replace("\n", "\r"), count=3),
    one("bom.xyz", b"\xef\xbb\xbf" + XYZ.encode(), count=3),
    one("powershell.xyz", XYZ.encode("utf-16"), count=3),
    one("named.txt", XYZ, count=3, form="extxyz"),
    one("at@1.xyz", XYZ, count=3),
    one("a b (copy) ü.xyz", XYZ, count=3),
    one("labels.extxyz", XYZ.replace("pbc=", "trajectory=7 target_ring_size=5.5 pbc="), count=3,
        labels={"trajectory": 7, "target_ring_size": 5.5}),
    one("left_over.xyz", XYZ + "end of file\n", count=None, refused="line 79 of .* is 'end of file'"),
    one("comma.xyz", with_comma(XYZ), count=None, refused="Lattice|is no number"),
    one("comma_atoms.xyz", "\n".join(with_comma(line) if line[:2] in ("Si", "O ") else line
                                     for line in XYZ.splitlines()), count=None, refused="'.*,.*' is no number"),
    one("fortran.xyz", "".join(
        f"{line.split()[0]} " + " ".join(f"{float(w):.8e}".replace("e", "D") for w in line.split()[1:]) + "\n"
        if line[:2] in ("Si", "O ") else line + "\n" for line in XYZ.splitlines()),
        count=None, refused=r"D[+-]\d+' is no number, which is written like"),
    one("types.xyz", XYZ.replace("\nSi ", "\n1 ").replace("\nO ", "\n2 "), count=None,
        refused="does not say which element type 1 is; .* --types Si,O"),
    one("types_named.xyz", XYZ.replace("\nSi ", "\n1 ").replace("\nO ", "\n2 "), count=3, types=("Si", "O")),
    one("ovito.xyz", XYZ.replace("species:S:1", "type:I:1").replace("\nSi ", "\n1 ").replace("\nO ", "\n2 "),
        count=3, types=("Si", "O")),
    one("ovito_types.xyz", XYZ.replace("species:S:1", "type:I:1").replace("\nSi ", "\n1 ").replace("\nO ", "\n2 "),
        count=None, refused="does not say which element type 1 is"),
    one("numbered_labels.xyz", XYZ.replace("\nSi ", "\nSi1 "), count=None, refused="'Si1' is no element"),
    one("dump_in_xyz.xyz", dump(frames_of(1)), count=None, refused="line 1 of .* 'ITEM: TIMESTEP' .* --format"),
    one("empty.xyz", "", count=None, refused="holds no structures"),
    one("zeros.xyz", "\0" * 5000, count=None, refused="line 1 of .* should be the atom count of structure 0"),
    one("huge_count.xyz", XYZ.replace("24\n", f"{10**18}\n", 1), count=None, refused="the file ends before"),
    one("brackets.xyz", XYZ.replace("pbc=", f'a="_JSON {"[" * 50000}" pbc=', 1), count=None,
        refused=r"structure 0 in .* \(lines 1 to 26\) cannot be read"),
    one("eight_numbers.xyz", XYZ.replace('"7.16 0.0 ', '"7.16 ', 1), count=None, refused="9-long numerical vector"),
    one("cyrillic.xyz", XYZ.replace("\nSi ", "\nЅі "), count=None, refused="'Ѕі' is no element"),
    one("one_place.xyz", text_of(Atoms("Si8O16", positions=np.ones((24, 3)), cell=[EDGE] * 3, pbc=True), "extxyz"),
        count=None, refused="most atoms are closer to another"),
    one("one_atom.xyz", text_of(Atoms("Si", cell=[30] * 3, pbc=True), "extxyz"), count=None,
        refused="most atoms have no neighbour within 1.5 bond lengths"),
    # LAMMPS dumps
    one("element.lammpstrj", dump(frames_of(2), "id element x y z"), count=2),
    one("types.lammpstrj", dump(frames_of(2)), count=None, refused="which element type 1 is; .* --types Si,O"),
    one("types_named.lammpstrj", dump(frames_of(2)), count=2, types=("Si", "O")),
    one("scaled.dump", dump(frames_of(2), "id type xs ys zs"), count=2, types=("Si", "O")),
    one("unwrapped.dump", dump(frames_of(2), "id type xsu ysu zsu"), count=2, types=("Si", "O")),
    one("windows.dump", dump(frames_of(2)).replace("\n", "\r\n"), count=2, types=("Si", "O")),
    one("mass.dump", dump(frames_of(2), "id type mass x y z"), count=2),
    one("default_carbon.dump", dump(frames_of(1), "id type element x y z", element="C"), count=None,
        refused="which element type 1 is"),
    one("default_carbon_named.dump", dump(frames_of(1), "id type element x y z", element="C"), types=("Si", "O")),
    one("triclinic.lammpstrj", dump([silica(tilt=1.2)], "id element x y z q"), tilt=1.2),
    one("triclinic_scaled.lammpstrj", dump([silica(tilt=-0.9)], "id element xs ys zs"), tilt=-0.9),
    one("units.dump", dump(frames_of(1), "id element x y z", before="ITEM: UNITS\nmetal\n")),
    one("lj.dump", dump(frames_of(1), "id element x y z", before="ITEM: UNITS\nlj\n"), count=None,
        refused="units are 'lj'"),
    one("cut_off.dump", dump(frames_of(2), "id element x y z")[:-200], count=None,
        refused="structure 1 in .* should have 24 atoms .* cut off"),
    one("cut_header.dump", dump(frames_of(2), "id element x y z") + "ITEM: TIMESTEP\n2\n", count=None,
        refused=r"structure 2 in .* \(from line 67\) has no atoms behind its header"),
    one("both.dump", dump(frames_of(1), "id element x y z"), types=("Si", "O"), count=None,
        refused="has elements, not atom types; leave out --types Si,O"),
    one("slab.dump", dump(frames_of(1), "id element x y z", bounds="pp pp ff"), count=None,
        refused="structure 0 in .* is periodic along 2 of its 3"),
    # LAMMPS data files
    one("masses.data", data_file(silica(), "atomic", masses=MASSES)),
    one("types.data", data_file(silica(), "atomic"), count=None, refused="which element type 1 is"),
    one("charge.lmp", data_file(silica(), "charge"), types=("Si", "O")),
    one("charge_unnamed.data", data_file(silica(), "charge", comment=False, masses=MASSES)),
    one("full_unnamed.data", data_file(silica(), "full", comment=False, masses=MASSES, images=True)),
    one("molecular.data", data_file(silica(), "molecular", masses=MASSES, images=True)),
    one("charge_or_molecular.data",
        data_file(silica(), "charge", comment=False, masses=MASSES, charge="1"), count=None,
        refused="of the atom style charge or molecular; write the style .* 'Atoms # charge'"),
    one("triclinic.data", data_file(silica(tilt=1.2), "full", masses=MASSES), tilt=1.2),
    one("commented.data", data_file(silica(), "charge", masses="1 1.0 # Si\n2 1.0 # O\n")),
    one("reduced_masses.data", data_file(silica(), "atomic", masses="1 1.0\n2 4.0\n"), count=None,
        refused="which element type 1 is .a mass of 1 names none."),
    one("contradiction.data", data_file(silica(), "atomic", masses=MASSES), types=("O", "Si"), count=None,
        refused="type 1 in .* is O and Si at once"),
    one("lj.data", data_file(silica(), "atomic", masses=MASSES, first="write_data, units = lj"), count=None,
        refused="units are 'lj'"),
    one("short.data", data_file(silica(), "atomic", masses=MASSES).replace("24 atoms", "23 atoms"), count=None,
        refused="should have 23 atoms and has 24 lines"),
    one("other_name.silica", data_file(silica(), "charge"), types=("Si", "O")),
    # VASP
    one("POSCAR", POSCAR),
    one("CONTCAR", text_of(silica(), "vasp", direct=False) + "\n" + "0.0 0.0 0.0\n" * 24),
    one("glass.vasp", POSCAR.replace("\n", "\r\n")),
    one("scaled.POSCAR", "\n".join(["x", f"-{EDGE**3}", *POSCAR.splitlines()[2:]]) + "\n"),
    one("POSCAR_vasp4", vasp4(silica()), count=None, refused="no line with their elements; .* --types Si,O"),
    one("POSCAR_vasp4_named", vasp4(silica(), "melt"), types=("Si", "O")),
    one("POSCAR_all", POSCAR + POSCAR, count=None, refused="line 33 of .*, behind the 24 atoms.* holds one structure"),
    one("POSCAR_short", "".join(POSCAR.splitlines(keepends=True)[:-3]), count=None,
        refused="should have 24 atoms, but the file ends"),
    one("XDATCAR", text_of(frames_of(3), "vasp-xdatcar"), count=3),
    # crystallography
    one("plain.cif", CIF),
    one("upper.CIF", CIF),
    one("many.cif", text_of(frames_of(3), "cif"), count=3),
    one("partial.cif", CIF.replace("1.0000\n", "0.5000\n", 1), count=None, refused="partial occupancy"),
    one("comma.cif", with_comma(CIF), count=None, refused="which is no number|cannot be read as cif"),
    one("formula.cif", CIF.replace("Si8 O16", "Si8 O15"), count=None,
        refused="but its formula is 'Si8 O15'"),
    one("unknown_position.cif", cif(sites="Si1 ? 0 0\n"), count=None, refused="has '\\?' in _atom_site_fract_x"),
    one("guessed_origin.cif", cif(loop="_symmetry_space_group_name_H-M 'F d -3 m'\n", sites="Si1 0 0 0\n"),
        count=None, refused="names space group F d -3 m, but neither"),
    # others
    one("models.pdb", PDB, count=2),
    one("one_cell.pdb", "\n".join(line for k, line in enumerate(PDB.splitlines())
                                  if not (line.startswith("CRYST1") and k > 3)) + "\nEND\n", count=2),
    one("labels.pdb", PDB.replace("   Si MOL", "   SI MOL").replace("          SI", "            "), count=None,
        refused="does not say which element"),
    one("no_cell.pdb", "\n".join(line for line in PDB.splitlines() if not line.startswith("CRYST1")) + "\n",
        count=None, refused="has no periodic cell"),
    one("symmetry.pdb", PDB.replace("P 1", "P 21"), count=None, refused="has the space group P 21"),
    one("water_model.pdb", PDB.replace("1.00  0.00", "0.50  0.00"), count=None, refused="partial occupancy of 0.50"),
    one("glass.gen", GEN),
    one("twice.gen", GEN + GEN, count=None, refused="behind the 24 atoms.* GEN holds one structure"),
    one("cluster.gen", text_of(Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]), "gen"), count=None,
        refused="has no periodic cell"),
    one("glass.res", RES),
    one("symmetry.res", RES.replace("LATT -1", "LATT 1"), count=None, refused="has symmetry"),
    one("exponent.res", RES.replace("0.0", "1.0e-9 0.0", 1).replace("LATT -1", "LATT -1\nREM"), count=None,
        refused="lines behind SFAC|cannot be read"),
    one("glass.xsf", text_of(frames_of(2), "xsf"), count=2),
    one("glass.cell", text_of(silica(), "castep-cell")),
    one("glass.json", text_of(frames_of(2), "json"), count=2),
    one("glass.gro", text_of(silica(), "gromacs"), count=None, refused="names its atoms by labels"),
    one("glass.npz", zipped({"positions.npy": "x"}), count=None, refused="is a file of arrays"),
    one("notes.xlsx", "notes\n", count=None, refused="format of .*notes.xlsx cannot be recognised; .* --format"),
    one("wrong.extxyz", XYZ, form="cif", count=None, refused="cannot be read as cif|holds no structures"),
    one("unknown_format.xyz", XYZ, form="lamps-data", count=None, refused="unknown format 'lamps-data'"),
    # units and boundaries
    one("bohr.xyz", text_of([Atoms(a.numbers, positions=a.positions / BOHR, cell=a.cell / BOHR, pbc=True)
                             for a in frames_of(2)], "extxyz"), count=None, refused="in angstrom .1 bohr"),
    one("nm.xyz", text_of(Atoms("Si8O16", positions=silica().positions / 10, cell=silica().cell / 10, pbc=True),
                          "extxyz"), count=None, refused="give .* in angstrom"),
    one("nm_positions.xyz", text_of(Atoms("Si8O16", positions=silica().positions / 10, cell=silica().cell, pbc=True),
                                    "extxyz"), count=None, refused="neither in nm nor as fractions"),
    one("fractional.xyz", text_of(Atoms("Si8O16", positions=silica().get_scaled_positions(), cell=silica().cell,
                                        pbc=True), "extxyz"), count=None, refused="fractions of the cell"),
    one("isolated.xyz", XYZ.replace("T T T", "F F F"), count=None, refused="periodic along 0 of its 3"),
    one("plain.xyz", text_of(silica(), "xyz"), count=None, refused="has no periodic cell"),
    # compressed files, folders, archives
    one("glass.extxyz.gz", gzip.compress(XYZ.encode()), count=3),
    one("POSCAR.gz", gzip.compress(POSCAR.encode())),
    one("broken.extxyz.gz", gzip.compress(XYZ.encode())[:-50], count=None, refused="cannot be unpacked"),
    one("glass.zip", zipped({"x/b.cif": CIF, "x/a/POSCAR": POSCAR, "__MACOSX/x/._b.cif": "\0",
                             "x/.DS_Store": "\0", "x/README.md": "notes"}), count=2, copies=1),
    one("frames.zip", zipped({f"{k}.xyz": text_of(silica(k), "extxyz") for k in range(4)}), count=4),
    one("glass.tar.gz", tarred({"x/1.xyz": XYZ, "x/2.cif": CIF}), count=4, copies=1),
    one("nothing.zip", zipped({"__MACOSX/._a.cif": "\0"}), count=None, refused="holds no files"),
    one("inner.zip", zipped({"a.zip": zipped({"a.cif": CIF})}), count=None, refused="a.zip is an archive within"),
    one("broken.zip", zipped({"a.cif": CIF})[:200], count=None, refused="cannot be unpacked"),
    Foreign("mixed", {"mixed/1.cif": CIF, "mixed/POSCAR": POSCAR, "mixed/sub/c.lammpstrj":
                      dump(frames_of(2), "id element x y z"), "mixed/README.txt": "notes", "mixed/.hidden": "x",
                      "mixed/plot.png": "x"}, count=4, path="mixed", copies=2),
    Foreign("unreadable", {"unreadable/1.cif": CIF, "unreadable/log.lammps": "LAMMPS\n"}, count=None,
            path="unreadable", refused="format of .*log.lammps cannot be recognised"),
    Foreign("documents", {"documents/README.md": "notes"}, count=None, path="documents",
            refused="holds no files with structures"),
    Foreign("outside", {"a.xyz": XYZ}, count=None, path="b.xyz", refused=r"no structures at .*b\.xyz"),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)
def test_a_foreign_file_is_read_right_or_refused_in_one_sentence(case, tmp_path):
    for name, content in case.content.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path = tmp_path / (case.path or case.name)
    if case.count is None:
        with pytest.raises(AmsbenchError, match=f"(?s){case.refused}") as caught:
            read_structures(path, case.types, case.form).check(all_sound=True)
        assert "\n" not in str(caught.value)
        return
    structures = read_structures(path, case.types, case.form)
    structures.check(all_sound=True)
    assert len(structures) == case.count
    for frame in structures:
        assert Counter(frame.symbols) == {"Si": 8, "O": 16}
        density = GRAMS_PER_CM3 * frame.get_masses().sum() / frame.get_volume()
        assert density == pytest.approx(2.174, abs=2e-3)
        check_bonds(frame)
    expected = silica(tilt=case.tilt).get_all_distances(mic=True)
    same = [np.allclose(f.get_all_distances(mic=True), expected, atol=2e-3) for f in structures]
    assert any(same)
    assert case.labels.items() <= structures[0].info.items()
    assert len(structures.copies) == case.copies


def check_bonds(frame):
    """Every silicon has four oxygen neighbours, every oxygen two of silicon: the elements stand where they belong."""
    distances = frame.get_all_distances(mic=True)
    silicon = np.array(frame.symbols) == "Si"
    bonds = distances < 2.2
    assert (bonds[silicon][:, ~silicon].sum(axis=1) == 4).all()
    assert (bonds[~silicon][:, silicon].sum(axis=1) == 2).all()


def test_databases_and_trajectories_of_ase_keep_their_labels(tmp_path):
    write(tmp_path / "a.traj", frames_of(3))
    assert len(read_structures(tmp_path / "a.traj")) == 3
    with ase.db.connect(tmp_path / "a.db") as database:
        for k, frame in enumerate(frames_of(3)):
            database.write(frame, melt=k // 2, note="quenched")
    structures = read_structures(tmp_path / "a.db")
    assert [frame.info["melt"] for frame in structures] == [0, 0, 1]
    assert structures[0].info["note"] == "quenched"
    check_bonds(structures[2])


def test_links_are_followed_once(tmp_path):
    folder = tmp_path / "glasses"
    folder.mkdir()
    (tmp_path / "a.cif").write_text(CIF)
    (folder / "link.cif").symlink_to(tmp_path / "a.cif")
    (folder / "again").symlink_to(folder)
    assert len(read_structures(folder)) == 1
    assert len(read_structures(tmp_path / "glasses" / "link.cif")) == 1
    (folder / "lost.cif").symlink_to(tmp_path / "b.cif")
    with pytest.raises(AmsbenchError, match=r"lost\.cif is a link to no file"):
        read_structures(folder)


def test_symmetry_operators_make_the_atoms(tmp_path):
    """Diamond from one site with the operators that make it, against ASE's own crystal."""
    from ase.spacegroup import Spacegroup

    group = Spacegroup(227, 2)
    operators = []
    for rotation, shift in group.get_symop():
        rows = []
        for row, constant in zip(rotation, shift, strict=True):
            terms = "".join(f"{'+' if r > 0 else '-'}{a}" for r, a in zip(row, "xyz", strict=True) if r)
            rows.append(f"{terms}+{round(constant * 24)}/24")
        operators.append(f"'{','.join(rows)}'")
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n" + "\n".join(operators) + "\n"
    path = tmp_path / "diamond.cif"
    path.write_text(cif(loop=loop, 
                        formula="_space_group_IT_number 227\n_chemical_formula_sum Si\n_cell_formula_units_Z 8\n",
                        sites="Si1 0.125 0.125 0.125\n"))  # fmt: skip
    (frame,) = read_structures(path)
    expected = bulk("Si", "diamond", a=5.431, cubic=True)
    assert len(frame) == 8
    np.testing.assert_allclose(
        np.sort(frame.get_all_distances(mic=True)), np.sort(expected.get_all_distances(mic=True)), atol=1e-4
    )
    path.write_text(path.read_text().replace("_Z 8", "_Z 4"))
    with pytest.raises(
        AmsbenchError, match="has the atoms Si8, but its formula is 'Si' with 4 formula units"
    ):
        read_structures(path)


def test_the_line_of_what_was_read(tmp_path):
    write(tmp_path / "a.extxyz", [*frames_of(2), silica(1), silica(1)])
    line = read_structures(tmp_path / "a.extxyz").summary()
    assert "Read 4 structures from" in line
    assert "as extxyz: O16Si8; cell edges 7.16 x 7.16 x 7.16 A, 2.174 g/cm^3" in line
    assert "only 2 different (structure 2 is a copy of structure 1)" in line
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "a.cif", silica())
    write(folder / "b.extxyz", silica().repeat((2, 1, 1)))
    (folder / "README.md").write_text("notes")
    line = read_structures(folder).summary()
    assert "(2 files) as cif, extxyz: 2 compositions of O, Si, 24 to 48 atoms" in line
    assert "cell edges 7.16 to 14.32 x 7.16 x 7.16 A" in line
    assert line.endswith("no copies; not read: " + str(folder / "README.md"))
