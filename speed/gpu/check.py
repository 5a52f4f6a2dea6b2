"""The check of a GPU in minutes: versions, kernels against references, races, training steps; what is fastest, as JSON.

Parts come in the order of their weight. Every part is stored when it is done, a part that fails is recorded and the
next one goes on, and what there is no time for is named.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...benchmark.datasets.dataset import task_of
from ...benchmark.datasets.storage import load_dataset
from ...benchmark.execution.cores import available_cores
from ...benchmark.system.environment import environment_variables
from ...benchmark.system.files import check_writable, write_text
from ...leaderboards.tables.text_table import Table, render
from ...methods.egnn.config import EGNNConfig
from ...methods.egnn.triton_choice import VARIABLE, KernelChoice, Tile, races
from ...methods.material_sde import MaterialSDE
from ..network import neighbour_rows, network_rows
from ..timing import Row, machine, race
from . import compilation
from .comparisons import Comparison, compare_network, compare_random_numbers, compare_table, random_structures
from .plan import case_of
from .steps import measure_steps

DATASETS = ("asi", "asio2")
COMPARED = (1, 3, 64)
"""Numbers of structures in comparisons; the last is compared for the products of training alone."""
MATCHING = {"matching": {"weight": 1.0}, "consistency_share": 0.25}
RACED, RACE_SECONDS = (256, 32), 0.3
"""Atoms per structure and structures in the races of tiles, and the least time of a race."""
COMPILE_SHARE = 0.55
"""Largest share of the time for compilation."""
STEP_SECONDS = 6.0
"""Longest measurement of training steps."""
GRACE_SECONDS, TIME_IS_UP = 15, 3
"""Time after the end of the call after which the process ends in the middle of a part, and its exit code then."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """minutes: time in all; batches: structures in a training step; steps: per measurement; atoms: of a structure in
    comparisons, None for those of the datasets; preset: of the networks."""

    minutes: float
    batches: tuple[int, ...]
    steps: int
    atoms: int | None
    preset: str


@dataclass
class _Report:
    """Results so far, stored after every part."""

    paths: tuple[Path, ...]
    end: float
    values: dict[str, Any] = field(default_factory=dict)

    def write(self) -> None:
        for path in self.paths:
            write_text(path, json.dumps(self.values, indent=1) + "\n")

    def part(self, name: str, function: Callable[[], Any]) -> Any:
        """The result of a part, also stored under ``name``; None if it fails or there is no time for it."""
        began = time.time()
        result: Any = None
        if began >= self.end:
            self.values.setdefault("no time for", []).append(name)
        else:
            try:
                result = self.values[name] = function()
            except Exception:  # kernels, compilers and drivers raise their own; the next part can do
                self.values.setdefault("failed", {})[name] = traceback.format_exc(limit=-4)
            self.values.setdefault("seconds", {})[name] = round(time.time() - began, 1)
            print(f"{name}: {time.time() - began:.1f} s", flush=True)
        self.write()
        return result


def run_check(
    output: Path, work: Path, carried: Path | None, device_name: str, settings: CheckSettings
) -> bool:
    """Check this machine, write ``check.json`` to ``output`` and ``work``, print a table; whether all comparisons hold.

    output: also gets ``triton_cache.tar.gz``, to be carried along next time
    """
    end = time.time() + 60 * settings.minutes
    for folder in (output, work):
        check_writable(folder)
    cache = compilation.use_cache(work, carried)
    device, on_gpu = torch.device(device_name), device_name.startswith("cuda")
    report = _Report((output / "check.json", work / "check.json"), end - 5)
    # a kernel may compile for a minute, and nothing can interrupt it; what is done is stored
    watchdog = threading.Timer(max(0.0, end - time.time()) + GRACE_SECONDS, os._exit, (TIME_IS_UP,))
    watchdog.daemon = True
    watchdog.start()
    report.part("environment", lambda: machine(device) | {"cache": cache})
    configs = {name: _config(name, settings.preset) for name in DATASETS}
    choice = KernelChoice()
    if on_gpu:
        compile_end = time.time() + COMPILE_SHARE * 60 * settings.minutes
        compiled = partial(compilation.compile_side_by_side, processes=available_cores(), end=compile_end)
        done = report.part("compilation", lambda: compiled(compilation.first_jobs(configs["asi"]))) or []
        ready = {job["choice"] for job in done if "error" not in job and job["products"] == "bfloat16"}
        raced = report.part("race", lambda: _raced(configs["asi"], device, ready))
        choice = _best_choice(raced or {})
        if choice.text() != KernelChoice().text():
            jobs = compilation.jobs_of_choice(configs["asi"], choice)
            report.part("compilation of the choice", lambda: compiled(jobs))
    report.part(
        "comparisons",
        lambda: [c.as_json() for c in _comparisons(configs, settings, choice, device, report.end)],
    )
    report.values["choice"] = _choice({}, choice)
    report.part("cache before training steps", lambda: compilation.pack_cache(work, output))
    report.part("training steps", lambda: _steps(report, settings, choice, device))
    rates, best = report.values.get("training steps", {}), report.values["choice"]
    report.values["races of gradients"] = races()
    report.part("cache", lambda: compilation.pack_cache(work, output))
    if on_gpu:
        report.part("bench", lambda: [row.as_json({}) for row in _bench(device, report.end)])
    report.write()
    watchdog.cancel()
    comparisons = report.values.get("comparisons") or []
    print(render([_comparison_table(comparisons), _step_table(rates)]))
    print(f"fastest: {best['environment']}; " + "; ".join(_problems(report.values)), flush=True)
    return bool(comparisons) and all(item["passed"] for item in comparisons)


def _config(dataset_name: str, preset: str) -> EGNNConfig:
    """The network of material SDE on a dataset."""
    dataset = load_dataset(dataset_name)
    return EGNNConfig(**MaterialSDE.default_config(preset, task_of(dataset, ()))["network"])


def _comparisons(
    configs: dict[str, EGNNConfig],
    settings: CheckSettings,
    choice: KernelChoice,
    device: torch.device,
    end: float,
) -> Iterator[Comparison]:
    """Comparisons of all kernels; on a CPU, in Triton's interpreter, a few."""
    on_gpu = device.type == "cuda"
    yield from compare_random_numbers(device)
    fixed = KernelChoice(forward=choice.forward, backward=choice.backward, gradients="triton").text()
    cases = [("bfloat16", fixed), ("float32", "gradients=triton"), ("float32", "gradients=torch")]
    for count in COMPARED if on_gpu else COMPARED[:1]:
        for name, config in configs.items():
            structures = random_structures(load_dataset(name), count, settings.atoms, device)
            label = f"{name}, {count} structures"
            with environment_variables({"AMSBENCH_TRITON": "float32"}):
                yield compare_table(config, structures, label)
            some = cases if on_gpu and count < COMPARED[-1] else cases[: on_gpu or name == DATASETS[-1]]
            for products, text in some:
                if time.time() >= end:
                    return
                subject = f"{label}, {products}, {text}"
                try:
                    yield from compare_network(
                        config, structures, products=products, choice=text, label=subject
                    )
                except Exception as problem:  # of Triton, its compilers or the driver; the other cases can do
                    message = f"{subject}: {problem}".splitlines()[0]
                    yield Comparison(subject=message, error=math.inf, limit=0.0)


def _raced(config: EGNNConfig, device: torch.device, ready: set[str]) -> dict[str, dict[str, float]]:
    """Seconds of both passes of a middle layer for the tiles whose kernels are compiled.

    ready: texts of the choices that are compiled
    """
    results: dict[str, dict[str, float]] = {}
    for which, tiles in (("forward", compilation.FORWARD), ("backward", compilation.BACKWARD)):
        paths: dict[str, Callable[[], Any]] = {}
        for tile in tiles:
            choice = _with_tiles(KernelChoice(gradients="triton"), {which: tile})
            if choice.text() not in ready:
                continue
            with environment_variables({"AMSBENCH_TRITON": "bfloat16", VARIABLE: choice.text()}):
                call, need_x = compilation.call_of(
                    config, min(1, config.layers - 1), atoms=RACED[0], structures=RACED[1], device=device
                )
            grads = compilation.gradients_of(call)
            function = (
                call.forward if which == "forward" else partial(call.backward, grads[0], grads[1], need_x)
            )
            try:
                function()
            except (
                Exception
            ) as problem:  # too many registers or too much shared memory, by Triton's own error
                print(f"{which} {tile}: {problem}".splitlines()[0])
                continue
            paths[f"{tile.edges}x{tile.warps}"] = function
        if paths:
            results[which] = race(paths, device, rounds=3, seconds=RACE_SECONDS)
    return results


def _best_choice(raced: dict[str, dict[str, float]]) -> KernelChoice:
    """The fastest tiles of a race; those by default where there was none."""
    tiles = {}
    for which, seconds in raced.items():
        if seconds:
            edges, warps = min(seconds, key=lambda name: seconds[name]).split("x")
            tiles[which] = Tile(edges=int(edges), warps=int(warps))
    return _with_tiles(KernelChoice(), tiles)


def _with_tiles(choice: KernelChoice, tiles: Mapping[str, Any]) -> KernelChoice:
    """The choice with the tiles of the named passes."""
    return replace(choice, **tiles)


def _steps(
    report: _Report, settings: CheckSettings, choice: KernelChoice, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Measurements by the text of their case, in the order of their weight."""
    gradients = {
        name: KernelChoice(forward=choice.forward, backward=choice.backward, gradients=name).text()
        for name in ("triton", "torch")
    }
    paths: dict[str, dict[str, str | None]] = {"torch": {"AMSBENCH_TRITON": "0", VARIABLE: None}}
    if device.type == "cuda":
        kernels: dict[str, dict[str, str | None]] = {
            "triton": {"AMSBENCH_TRITON": None, VARIABLE: gradients["triton"]},
            "triton, gradients by torch": {"AMSBENCH_TRITON": None, VARIABLE: gradients["torch"]},
        }
        paths = kernels | paths
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("material-sde", "asio2", {}),
        ("amshortcut", "asio2", MATCHING),
        ("amshortcut", "meg", {}),
        ("amshortcut", "asi", MATCHING),
        ("amshortcut", "asio2", {}),
        ("material-sde", "meg", {}),
        ("amshortcut", "asi", {}),
        ("material-sde", "asi", {}),
    ]
    if device.type != "cuda":
        cases = cases[:2]
    # stored with every case, for a process that is killed at its limit
    results: dict[str, dict[str, Any]] = report.values.setdefault("training steps", {})
    for batch in settings.batches:
        for path, environment in paths.items():
            for method, dataset, changes in cases:
                case = case_of(method, dataset, changes)
                once = batch == settings.batches[0] and not changes
                if path != "triton" and device.type == "cuda" and not once:
                    continue
                name = f"{case}, {batch} at a time, {path}"
                measured = report.part(
                    name,
                    partial(
                        measure_steps, method, dataset, batch=batch, steps=settings.steps, preset=settings.preset,
                        changes=changes, environment=environment, device=device,
                        end=min(report.end, time.time() + STEP_SECONDS),
                    ),
                )  # fmt: skip
                if measured is not None:
                    results[name] = measured | {"case": case, "batch": batch, "environment": environment}
                    report.values.pop(name)
                    report.values["choice"] = _choice(results, choice)
                    report.write()
    return results


def _choice(rates: dict[str, dict[str, Any]], choice: KernelChoice) -> dict[str, Any]:
    """The fastest path in most cases that were measured on all, and the speed of each case by the default of the path.

    Environment variables that a path unsets are left out: they are unset where nobody sets them.
    """
    measured = [item for item in rates.values() if "samples_per_second" in item]
    wins: dict[str, int] = {}
    for case, batch in {(item["case"], item["batch"]) for item in measured}:
        same = [item for item in measured if (item["case"], item["batch"]) == (case, batch)]
        best = max(same, key=lambda item: item["samples_per_second"])
        if len(same) > 1:
            text = json.dumps(best["environment"])
            wins[text] = wins.get(text, 0) + 1
    variables: dict[str, str | None] = {VARIABLE: choice.text()}
    if measured:
        variables = json.loads(max(wins, key=lambda text: wins[text])) if wins else measured[0]["environment"]
    speeds: dict[str, float] = {}
    for item in measured:
        if item["environment"] == variables:
            speeds[item["case"]] = max(speeds.get(item["case"], 0.0), item["samples_per_second"])
    return {
        "environment": {name: value for name, value in variables.items() if value is not None},
        "samples_per_second": speeds,
    }


def _bench(device: torch.device, end: float) -> Iterator[Row]:
    """Rows of ``amsbench bench`` as far as there is time, networks first."""
    makers = (partial(network_rows, "standard", device), partial(neighbour_rows, device))
    for maker in makers:
        if time.time() + 2 * STEP_SECONDS < end:
            yield from maker()


def _problems(values: dict[str, Any]) -> list[str]:
    late = values.get("no time for", [])
    return [
        f"no time for {len(late)} parts" if late else "all parts had time",
        f"failed: {', '.join(values.get('failed', {})) or 'nothing'}",
    ]


def _comparison_table(comparisons: list[dict[str, Any]]) -> Table:
    rows = tuple(
        (str(c["subject"]), f"{float(c['error']):.1e}", f"{c['limit']:.0e}", "yes" if c["passed"] else "NO")
        for c in comparisons
    )
    columns = ("kernel", "relative deviation", "limit", "holds")
    return Table(title="Kernels against references", columns=columns, rows=rows, caption=(), records=())


def _step_table(rates: dict[str, dict[str, Any]]) -> Table:
    rows = tuple(
        (
            name,
            item.get("error") or f"{item['samples_per_second']:,.1f}",
            f"{item['first_seconds']:.1f}" if "first_seconds" in item else "-",
            f"{item['peak_memory'] / 2**30:.1f}" if "peak_memory" in item else "-",
            f"{item['waits_per_step']:.1f}" if "waits_per_step" in item else "-",
            f"{item['launches_per_step']:,.0f}" if item.get("launches_per_step") else "-",
        )
        for name, item in rates.items()
    )
    columns = ("training", "structures/s", "first step, s", "memory, GiB", "waits/step", "launches/step")
    return Table(title="Training steps", columns=columns, rows=rows, caption=(), records=())
