"""Structure files with changed bytes, words and archives are refused, or are described, drawn and scored."""

import gzip
import io
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.runs.references import reference_for
from amsbench.benchmark.system.structure_files import read_structures

RANDOM = st.randoms(use_true_random=True)
FORMATS = {
    "extxyz": "x.extxyz",
    "xyz": "x.xyz",
    "vasp": "POSCAR",
    "vasp-xdatcar": "XDATCAR",
    "cif": "x.cif",
    "lammps-data": "x.data",
    "json": "x.json",
    "traj": "x.traj",
    "xsf": "x.xsf",
    "gen": "x.gen",
    "proteindatabank": "x.pdb",
    "espresso-in": "x.pwi",
    "castep-cell": "x.cell",
    "res": "x.res",
    "cube": "x.cube",
    "aims": "geometry.in",
}
ONE_FRAME = ("vasp", "lammps-data", "espresso-in", "castep-cell", "cube", "aims", "res", "gen")
OPTIONS = {
    "lammps-data": {"masses": True, "specorder": ["Si"]},
    "espresso-in": {"pseudopotentials": {"Si": "Si.upf"}},
}
"""Options of ASE's writers without which a file has no elements."""
WORDS = [
    "",
    "-1",
    "0",
    "1",
    "3",
    "999999999",
    "1" + "0" * 30,
    "nan",
    "inf",
    "-inf",
    "1e308",
    "1e-308",
    "0.1",
    "1e6",
    "Si",
    "Xx",
    "H",
    "\U0001d54a",
    '"',
    "'",
    "=",
    "{",
    "[[[[",
    "\n",
    "\0",
    "T F T",
    "x" * 3_000,
    "__import__('os')",
]
"""What a word of a text file may be replaced by."""


def silicon(seed):
    atoms = bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=seed)
    return atoms


class Files(dict):
    """Contents by format, with a short text of its own, because Hypothesis prints the arguments of an example."""

    def __repr__(self):
        return f"<{len(self)} files>"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two frames of silicon in each format that has several, one in the others."""
    folder = tmp_path_factory.mktemp("files")
    contents = Files()
    for name, file in FORMATS.items():
        frames = [silicon(seed) for seed in range(1 if name in ONE_FRAME else 2)]
        options = OPTIONS.get(name, {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ASE about keywords of other programs
            write(folder / file, frames, format=name, **options)
        contents[name] = (folder / file).read_bytes()
    return contents


@pytest.fixture(scope="module")
def reference():
    return reference_for("asi")


def changed_words(random, content):
    """Text of which one to four words were replaced, removed, repeated or exchanged."""
    lines = [line.split(" ") for line in content.decode(errors="replace").split("\n")]
    for _ in range(random.randint(1, 4)):
        # headers come first and matter more
        line = random.choice([random.choice(lines), random.choice(lines[:12])])
        k = random.randrange(len(line)) if line else 0
        match random.choice(
            ["replace", "replace", "replace", "remove", "repeat", "remove line", "repeat line"]
        ):
            case "replace" if line:
                line[k] = random.choice(WORDS)
            case "remove" if line:
                del line[k]
            case "repeat" if line:
                line[k:k] = [line[k]]
            case "remove line" if len(lines) > 1:
                lines.remove(line)
            case "repeat line":
                lines.insert(lines.index(line), list(line))
    return "\n".join(" ".join(line) for line in lines).encode(errors="replace")


@pytest.fixture
def used(right_or_refused, reference):
    """Reads a file as all commands do; what was read is described and scored."""

    def use(path):
        found = right_or_refused(lambda: read_structures(path), path.name)
        if found is None or len(found) > 100:
            return found
        assert "\n" not in found.summary()
        right_or_refused(lambda: found.check(all_sound=False))
        sound = [atoms for k, atoms in enumerate(found.frames) if k not in found.faults]
        if sum(map(len, sound)) < 3_000:
            evaluation = right_or_refused(lambda: evaluate_structures(found.frames, reference))
            assert evaluation is None or len(evaluation.table) == len(found)
        return found

    return use


@given(random=RANDOM)
@pytest.mark.parametrize("form", FORMATS)
def test_changed_bytes(random, form, files, changes, used, tmp_path):
    path = tmp_path / FORMATS[form]
    path.write_bytes(changes.bytes(random, files[form]))
    used(path)


@given(random=RANDOM)
@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"traj"}))
def test_changed_words(random, form, files, used, tmp_path):
    path = tmp_path / FORMATS[form]
    path.write_bytes(changed_words(random, files[form]))
    used(path)


def archive_of(random, kind, files, outside):
    """An archive of two files, whose names may be those of nothing that should be written."""
    names = [
        "a.extxyz",
        "b/POSCAR",
        "../outside.extxyz",
        str(outside),
        "b/",
        "a" * 300,
        "a\0b",
        ".hidden",
        "a",
    ]
    members = [(random.choice(names), files[random.choice(["extxyz", "vasp", "json"])]) for _ in range(2)]
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zipfile about a name that is there twice
        if kind == "zip":
            with zipfile.ZipFile(
                out, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            ) as archive:
                for name, content in members:
                    archive.writestr(name, content)
        else:
            with tarfile.open(fileobj=out, mode=f"w:{kind.partition('.')[2]}".rstrip(":")) as archive:
                for name, content in members:
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    entry.type = random.choice(
                        [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
                    )
                    entry.linkname = random.choice(["/etc/passwd", "a.extxyz", "..", ""])
                    archive.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return out.getvalue()


@given(random=RANDOM)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz", "gz"])
def test_archives(random, kind, files, changes, used, tmp_path):
    form = random.choice(["extxyz", "vasp", "json"])
    content = (
        gzip.compress(files[form])
        if kind == "gz"
        else archive_of(random, kind, files, tmp_path / "outside.extxyz")
    )
    folder = tmp_path / "inner"
    folder.mkdir(exist_ok=True)
    path = folder / (f"{FORMATS[form]}.gz" if kind == "gz" else f"x.{kind}")
    path.write_bytes(changes.bytes(random, content) if random.random() < 0.5 else content)
    used(path)
    assert [item.name for item in tmp_path.iterdir()] == ["inner"]
    assert [item.name for item in folder.iterdir()] == [path.name]
    path.unlink()


@given(random=RANDOM)
def test_numbers_of_frames(random, right_or_refused, reference, tmp_path):
    """Positions and cells of sound files replaced by numbers that none has."""
    numbers = [0.0, -0.0, 1e-300, 1e-12, 1e-3, 1.0, 1e3, 1e6, 1e15, 1e160, 1e308, np.inf, np.nan]
    frames = []
    for seed in range(random.randint(1, 3)):
        atoms = silicon(seed)[: random.choice([0, 1, 2, 7, 64])]
        for _ in range(random.randint(0, 2)):
            array = random.choice([atoms.positions, atoms.cell.array])
            if array.size:
                value = random.choice(numbers) * random.choice([-1, 1])
                if random.random() < 0.3:
                    array[:] = value
                else:
                    array.flat[random.randrange(array.size)] = value
        frames.append(atoms)
    path = tmp_path / "x.extxyz"
    write(path, frames, format="extxyz")
    found = right_or_refused(lambda: read_structures(path), path.name)
    if found is not None:
        assert len(found) == len(frames)
        assert "\n" not in found.summary()
        evaluation = right_or_refused(lambda: evaluate_structures(found.frames, reference))
        assert evaluation is None or len(evaluation.table) == len(found)
