"""``amsbench methods``, ``new-method``, ``datasets`` and ``info``: registered plug-ins and the installation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..benchmark.interface.method_card import MethodCard
from .progress import say, terminal_width

if TYPE_CHECKING:
    from ..benchmark.interface.method import Method
    from ..benchmark.registry import PluginKind
    from ..benchmark.runs.non_learned import NonLearnedBaseline

HEADS = {
    "kept": "kept from the reference",
    "replaced": "replaced by something with the same purpose",
    "dropped": "dropped, since nothing here needs it",
    "declared": "other differences that may move a number",
}
"""Headings of the lists of a card."""

LEAST_WIDTH, WIDTH = 40, 100
"""Characters of a line: the smallest number, and the default."""


def methods_command(
    name: Annotated[str | None, typer.Argument(help="Show the card of one method.")] = None,
) -> None:
    """List the registered methods, or show what one of them is and how far it is the published one."""
    from ..benchmark import registry

    if name is not None:
        kind = registry.kind_of(name, ("methods", "non_learned"))
        lines = method_lines if kind == "methods" else non_learned_lines
        for line in lines(registry.load(kind, name), terminal_width()):
            print(line)
        return
    print("methods")
    for item, method in registry.usable("methods").items():
        print(f"  {item:14} {method.title}")
    print("\nnon-learned baselines")
    for item, baseline in registry.usable("non_learned").items():
        print(f"  {item:14} {baseline.title}")
    say_unusable("methods", "non_learned")


def new_method_command(
    name: Annotated[str, typer.Argument(help="Name of the method: small letters, digits and hyphens.")],
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="The folder to create; NAME by default.")
    ] = None,
) -> None:
    """Write a small package with a method that trains, samples and passes its tests, to begin from."""
    from ..benchmark.scaffold import write_package

    folder = output_dir or Path(name)
    for path in write_package("method", name, folder):
        say(f"{path}")
    say(f"Next: pip install -e {folder}, pytest {folder}, amsbench run --method {name} --dataset asi")


def method_lines(method: type[Method], width: int | None = None) -> Iterator[str]:
    """The card of a method as lines of text, with its networks and its samplers.

    width: characters per line
    """
    width = max(LEAST_WIDTH, width or WIDTH)
    card = method.card or MethodCard(reference="none given: the method has no card")
    yield from _beginning(method, card, width)
    claims = [("right structures from fewer than 10 steps", method.shortcut)]
    claims += [("rotation equivariant", method.rotation_equivariant)]
    claimed = ", ".join(text for text, holds in claims if holds)
    if claimed:
        yield from _entry("claims", claimed, width)
    yield from _entry("networks", ", ".join(method.networks), width)
    yield ""
    yield "samplers"
    for sampler in method.samplers:
        yield from _entry(f"  {sampler.name}", sampler.title, width, 24)
    yield ""
    yield "network evaluations a step"
    for sampler in method.samplers:
        yield from _entry(f"  {sampler.name}", card.evaluations.get(sampler.name, "not said"), width, 24)
    yield from _differences(card, width)


def non_learned_lines(baseline: type[NonLearnedBaseline], width: int | None = None) -> Iterator[str]:
    """The card of a non-learned baseline as lines of text.

    width: characters per line
    """
    width = max(LEAST_WIDTH, width or WIDTH)
    card = baseline.card or MethodCard(reference="none given: the baseline has no card")
    yield from _beginning(baseline, card, width)
    yield from _entry("needs", "neither training nor steps", width)
    yield from _differences(card, width)


def _beginning(
    plugin: type[Method] | type[NonLearnedBaseline], card: MethodCard, width: int
) -> Iterator[str]:
    yield from textwrap.wrap(f"{plugin.name}: {plugin.title}", width)
    yield ""
    yield from _entry("reference", card.reference, width)
    if card.original is not None:
        yield from _entry("original", card.original, width)


def _differences(card: MethodCard, width: int) -> Iterator[str]:
    for name, head in HEADS.items():
        items = getattr(card, name)
        if items:
            yield from ("", head)
        for item in items:
            yield from textwrap.wrap(item, width, initial_indent="  - ", subsequent_indent="    ")
    if card.hyperparameters:
        yield from ("", "values of the reference")
        for name, value in card.hyperparameters.items():
            yield from _entry(f"  {name}", value, width, 20)


def _entry(name: str, text: str, width: int, column: int = 12) -> list[str]:
    """A name and its text in two columns; a longer name moves the text to the right."""
    first = f"{name:{column}}" if len(name) < column else f"{name}  "
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * column)


def datasets_command() -> None:
    """List the registered datasets."""
    from ..benchmark import registry

    for item, dataset in registry.usable("datasets").items():
        names = ", ".join(f"{p.name} ({p.unit})" for p in dataset.properties) or "no properties"
        print(f"{item:8} {dataset.title}; {names}")
    say_unusable("datasets")


def say_unusable(*kinds: PluginKind) -> None:
    """Say on standard error which plug-ins of some kinds cannot be used, and why."""
    from ..benchmark import registry

    for kind in kinds:
        for reason in registry.unusable(kind).values():
            say(f"Warning: {reason}")


def info_command() -> None:
    """Show versions, hardware and the computing paths that are active here."""
    import platform

    import torch

    from ..benchmark.execution.cores import available_cores
    from ..metrics.potentials.lammps import lammps_version
    from ..speed.timing import baseline_products, computing_paths
    from ..version import __version__

    print(
        f"amsbench {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{available_cores()} cores"
    )
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"CUDA device: {cuda}")
    for name, path in computing_paths().items():
        facts = [path[key] for key in ("level", "mode") if path.get(key)]
        reason = f" ({path['reason']})" if path["reason"] else ""
        print(f"{name}: {', '.join(facts) or 'not active'}{reason}")
    print(f"networks of the baselines: torch, products in {baseline_products()}")
    print(f"LAMMPS: {lammps_version()}")
