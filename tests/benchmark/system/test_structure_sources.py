"""Files, folders and archives: what is in them, and archives that are not unpacked."""

import io
import tarfile
import warnings
import zipfile

import pytest

from amsbench.benchmark.system import structure_sources
from amsbench.benchmark.system.structure_sources import folder_files, source_files
from amsbench.errors import AmsbenchError


def contents(path):
    with source_files(path) as (files, left_out):
        return {file.name: file.path.read_text() for file in files}, left_out


def zip_of(path, files):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that stands there twice
        for name, content in files:
            archive.writestr(name, content)
    return path


def test_a_file_is_read_where_it_lies(tmp_path):
    (tmp_path / "README.md").write_text("1")
    with source_files(tmp_path / "README.md") as (files, left_out):
        assert [file.path for file in files] == [tmp_path / "README.md"]  # named by the user, so no document
    assert not left_out


def test_files_of_a_folder_come_by_their_names(tmp_path):
    for name in ("b/2", "b/10", "a.cif", "c/.hidden", ".git/x", "README", "b/notes.pdf", "__MACOSX/a.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files, left_out = contents(tmp_path)
    assert list(files.values()) == ["a.cif", "b/10", "b/2"]
    assert left_out == [str(tmp_path / "README"), str(tmp_path / "b/notes.pdf")]
    assert len(folder_files(tmp_path)) == 5


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_archives_are_read_as_folders(tmp_path, mode):
    path = tmp_path / f"a.tar{mode[1:].replace(':', '.')}"
    with tarfile.open(path, mode) as archive:
        for name in ("./x/b", "./x/a"):
            item = tarfile.TarInfo(name)
            item.size = 1
            archive.addfile(item, io.BytesIO(name[-1].encode()))
    assert contents(path)[0] == {f"{path}/x/a": "a", f"{path}/x/b": "b"}
    path = zip_of(tmp_path / "a.ZIP", [("x/b", "b"), ("x/a", "a")])
    assert contents(path)[0] == {f"{path}/x/a": "a", f"{path}/x/b": "b"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("../a.cif", "")], r"holds a file outside of itself, \.\./a\.cif"),
        ([("a.cif", "1"), ("a.cif", "2")], "holds the file a.cif twice"),
        ([("a.cif", "1"), ("./a.cif", "2")], "holds the file ./a.cif twice"),
        ([("a.tar.gz", "1")], "a.tar.gz is an archive within a folder or an archive"),
        ([("README.md", "1")], "holds no files with structures"),
        ([], "holds no files"),
    ],
)
def test_archives_that_are_refused(tmp_path, files, words):
    with pytest.raises(AmsbenchError, match=words):
        contents(zip_of(tmp_path / "a.zip", files))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_links_in_archives_are_not_left_out_in_silence(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        item = tarfile.TarInfo("a.cif")
        item.type, item.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(item)
    with pytest.raises(AmsbenchError, match=r"a\.tar holds links; unpack it"):
        contents(tmp_path / "a.tar")


def test_little_that_unpacks_to_much(tmp_path, monkeypatch):
    monkeypatch.setattr(structure_sources, "MOST_UNPACKED", 2**20)
    path = zip_of(tmp_path / "a.zip", [("a.cif", "0" * 2**19), ("b.cif", "0" * (2**19 + 1))])
    with pytest.raises(AmsbenchError, match=r"a\.zip unpacks to more than"):
        contents(path)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = zip_of(tmp_path / "a.zip", [("a.cif", "1")])
    with source_files(path) as (files, _):
        assert files[0].path.is_file()
    assert [item.name for item in tmp_path.iterdir()] == ["a.zip"]
