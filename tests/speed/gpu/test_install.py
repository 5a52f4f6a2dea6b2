"""Installation without network: link, entry points, wheels, native libraries."""

import tomllib
import zipfile
from importlib.metadata import PathDistribution

import pytest

from amsbench.speed.gpu import install
from amsbench.version import __version__


def wheel(folder, tags="py3-none-any", name="thing-1.0"):
    path = folder / f"{name}-{tags}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/__init__.py", "VALUE = 3\n")
        archive.writestr(f"{name}.data/platlib/thing/compiled.py", "")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return path


@pytest.fixture(autouse=True)
def no_build(monkeypatch):
    monkeypatch.setattr(install, "build_libraries", lambda: "native libraries: built already")


def test_the_checkout_is_linked_with_all_of_its_entry_points(tmp_path):
    install.install(tmp_path, None)
    assert (tmp_path / "amsbench").resolve() == install.REPOSITORY
    distribution = PathDistribution(tmp_path / f"amsbench-{__version__}.dist-info")
    assert distribution.version == __version__
    project = tomllib.loads((install.REPOSITORY / "pyproject.toml").read_text())["project"]
    written = {(point.group, point.name, point.value) for point in distribution.entry_points}
    for group, points in project["entry-points"].items():
        assert {(group, *item) for item in points.items()} <= written


def test_wheels_are_unpacked_once_with_their_data(tmp_path):
    carried = tmp_path / "carried"
    carried.mkdir()
    wheel(carried)
    first = install.install(tmp_path / "site", carried)
    assert (tmp_path / "site" / "thing" / "compiled.py").is_file()
    (tmp_path / "site" / "thing" / "__init__.py").write_text("VALUE = 4\n")
    assert install.install(tmp_path / "site", carried) == first
    assert "4" in (tmp_path / "site" / "thing" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("tags", "words"),
    [("cp39-cp39-manylinux_2_17_x86_64", "is for cp39"), ("py3-none-macosx_11_0_riscv", "is for macosx")],
)
def test_wheels_of_another_python_or_machine_are_refused(tmp_path, tags, words):
    path = wheel(tmp_path, tags)
    with pytest.raises(ValueError, match=words):
        install.unpack_wheel(path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_folder_with_another_amsbench_is_refused(tmp_path):
    (tmp_path / "amsbench").mkdir()
    with pytest.raises(ValueError, match="is not the checkout"):
        install.install(tmp_path, None)
