"""Run with the interpreter of an environment that only the wheel is installed in: ``python check_installed.py ROOT``.

ROOT is the repository that the package must NOT be imported from.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import amsbench
from amsbench.benchmark import registry
from amsbench.benchmark.datasets.storage import bundled_path, load_dataset_file
from amsbench.benchmark.scaffold import TEMPLATES
from amsbench.benchmark.training.checkpoints import RELEASED, load_checkpoint
from amsbench.leaderboards import reported_values
from amsbench.leaderboards.page.build import ASSETS, SCRIPTS
from amsbench.metrics.potentials.bmp_shrm import ANGLES_FILE

root = Path(sys.argv[1]).resolve()
home = Path(amsbench.__file__).resolve().parent
assert root not in home.parents, f"imported from the repository: {home}"
expected = {
    ".".join(("amsbench", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
    for folder in ("baselines", "benchmark", "cli", "leaderboards", "methods", "metrics", "speed", "testing")
    for path in (root / folder).rglob("*.py")
}
found = {module.name for module in pkgutil.walk_packages(amsbench.__path__, "amsbench.")}
# plain C libraries, opened with ctypes, where a compiler was present
installed = {
    name for name in found if not name.rpartition(".")[2].startswith("_") or name.endswith(".__main__")
}
assert expected <= installed, f"missing in the wheel: {sorted(expected - installed)}"

without_triton = 0
for name in sorted(installed):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        without_triton += 1
print(f"{len(installed)} modules, {without_triton} of them need triton, which is not a dependency")

datasets = sorted(bundled_path("asi").parent.glob("*.npz"))
assert {path.stem for path in datasets} >= set(registry.names("datasets"))
print(f"{len(datasets)} datasets, {sum(len(load_dataset_file(path)) for path in datasets):,} structures")
checkpoints = sorted(RELEASED.glob("*.safetensors"))
assert len(checkpoints) == len(list((root / "benchmark" / "training" / "released").glob("*.safetensors"))) > 0
print(f"{len({load_checkpoint(path).content_hash for path in checkpoints})} checkpoints")
assert {path.parent.name for path in TEMPLATES.rglob("*.txt")} == {"method", "metric"}
assert ANGLES_FILE.is_file()
assert all((ASSETS / f"{name}.js").is_file() for name in SCRIPTS)
assert {"index.html", "page.css", "theme.js"} <= {path.name for path in ASSETS.iterdir()}
assert reported_values.reported_structure("asi")

method = amsbench.load_method("amshortcut", dataset="asio2")
(glass,) = amsbench.generate(method, targets={"shear_modulus": 25.0}, count=1, steps=1, cell=11.0)
print(
    f"amsbench {amsbench.__version__} from {home.name} of {home.parent.name}: generated {glass.get_chemical_formula()}"
)
