"""``python -m amsbench.speed.gpu``: prepare, check, train."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...benchmark.system.arguments import number
from ...benchmark.system.devices import pick_device
from ...errors import AmsbenchError

WORK = Path(tempfile.gettempdir()) / "amsbench_gpu"
"""Folder of files that need not come back."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m amsbench.speed.gpu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="Download the wheels that the other machine lacks.")
    prepare.add_argument("folder", type=Path)
    prepare.add_argument("--python", default="3.12", help="Version of the other machine's Python.")
    check = commands.add_parser("check", help="Compare, race and time the kernels; choose the fastest.")
    train = commands.add_parser("train", help="Train what a plan names, side by side.")
    for command, minutes in ((check, 2.0), (train, 9.0)):
        command.add_argument("output", type=Path, help="Folder of the files that come back.")
        command.add_argument("--minutes", type=float, default=minutes, help="Time in all.")
        command.add_argument("--device", default="auto")
        command.add_argument("--carried", type=Path, help="Folder with the files of earlier calls.")
        command.add_argument("--work", type=Path, default=WORK, help="Folder of temporary files.")
    check.add_argument("--batches", default="64,128", help="Structures in a training step.")
    check.add_argument("--steps", type=int, default=20, help="Training steps per measurement.")
    check.add_argument("--atoms", type=int, help="Atoms of a structure in comparisons.")
    check.add_argument("--preset", default="deep", help="Network preset.")
    train.add_argument("--plan", type=Path, help="Plan of the trainings (.toml or .json).")
    one = commands.add_parser("one", help="One training of a plan; called by train.")
    one.add_argument("folder", type=Path)
    job = commands.add_parser("compile", help="Compile one kernel; called by check.")
    job.add_argument("job")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    """Exit code: 0, or 1 where a comparison or a training failed."""
    if arguments.command == "prepare":
        from .wheels import prepare_wheels

        wheels = prepare_wheels(arguments.folder, python=arguments.python)
        total = sum(wheel.stat().st_size for wheel in wheels) / 2**20
        print("\n".join(f"{wheel.stat().st_size / 2**20:6.2f} MiB  {wheel.name}" for wheel in wheels))
        print(f"{total:6.2f} MiB  in all, in {arguments.folder}")
        return 0
    if arguments.command == "one":
        from .training import train_planned

        train_planned(arguments.folder)
        return 0
    if arguments.command == "compile":
        from .compilation import compile_job

        print(json.dumps(compile_job(json.loads(arguments.job))))
        return 0
    number(arguments.minutes, "--minutes", above=0)
    device = pick_device(arguments.device)
    if arguments.command == "train":
        from .plan import DEFAULT_PLAN, read_plan
        from .side_by_side import train_side_by_side

        plan = DEFAULT_PLAN if arguments.plan is None else read_plan(arguments.plan)
        complete = train_side_by_side(
            plan,
            arguments.output,
            folder=arguments.work / "trainings",
            minutes=arguments.minutes,
            device=device,
            checked=_checked(arguments.work, arguments.carried),
        )
        return 0 if complete else 1
    from .check import CheckSettings, run_check

    batches = [int(text) if text.isdigit() else 0 for text in arguments.batches.split(",")]
    if min(batches) < 1 or arguments.steps < 1:
        raise AmsbenchError("--batches and --steps are whole numbers of at least 1, such as --batches 64,128")
    settings = CheckSettings(
        minutes=arguments.minutes,
        batches=tuple(batches),
        steps=arguments.steps,
        atoms=arguments.atoms,
        preset=arguments.preset,
    )
    return 0 if run_check(arguments.output, arguments.work, arguments.carried, device, settings) else 1


def _checked(work: Path, carried: Path | None) -> dict[str, Any]:
    """The results of the last check: on this machine, else those carried along, else none."""
    from .compilation import use_cache

    use_cache(work, carried)
    for folder in filter(None, (work, carried)):
        path = folder / "check.json"
        if path.is_file():
            try:
                return dict(json.loads(path.read_text(encoding="utf-8"))["choice"])
            except (ValueError, KeyError, TypeError) as error:
                raise AmsbenchError(
                    f"{path} holds no results of a check ({error}); delete it or check again"
                ) from error
    return {}


def main() -> None:
    """Run a command; the message of an AmsbenchError goes to standard error, with exit code 2."""
    try:
        code = _run(_arguments())
    except AmsbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
