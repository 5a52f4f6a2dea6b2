"""``amsbench metrics`` and ``amsbench new-metric``: registered metrics, and a template package."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .plugins import say_unusable
from .progress import say, terminal_width

if TYPE_CHECKING:
    from ..metrics.metric import Metric

WIDTH = 100
"""Characters of a line where standard output is no terminal."""


def metrics_command(
    name: Annotated[
        str | None, typer.Argument(help="Show one metric with its rationale and evidence.")
    ] = None,
) -> None:
    """List the registered metrics, or show what one of them measures, why, and how it has been verified."""
    from ..benchmark import registry
    from ..metrics.metric import CurveMetric, PropertyMetric, StructureMetric

    if name is not None:
        for line in metric_lines(registry.load("metrics", name), terminal_width() or WIDTH):
            print(line)
        return
    classes = list(registry.usable("metrics").values())
    width = max(len(metric.name) for metric in classes)
    for base, head in (
        (CurveMetric, "mean curves of a set of structures"),
        (StructureMetric, "numbers per structure"),
        (PropertyMetric, "properties with targets"),
    ):
        print(f"{head}:")
        for metric in classes:
            if issubclass(metric, base):
                unit = f" ({metric.unit})" if metric.unit else ""
                print(f"  {metric.name:{width}} {metric.title}{unit}")
    say_unusable("metrics")


def metric_lines(metric: type[Metric], width: int) -> Iterator[str]:
    """The page of a metric as text: title, unit, direction, needs, version, rationale, evidence."""
    from ..benchmark import registry
    from ..benchmark.evaluation.descriptor_means import STANDARD_DESCRIPTORS
    from ..benchmark.evaluation.evaluate import STANDARD_CURVES
    from ..metrics.metric import PropertyMetric

    if issubclass(metric, PropertyMetric):
        datasets = [
            name
            for name, dataset in registry.usable("datasets").items()
            if metric.name in {item.name for item in dataset.properties}
        ]
        measured = f"where it has targets, on {', '.join(datasets) or 'no registered dataset'}"
    elif metric.name in (*STANDARD_CURVES, *STANDARD_DESCRIPTORS):
        measured = "always"
    else:
        measured = f"with --metrics {metric.name}"
    facts = {
        "unit": metric.unit or "none",
        "read as": metric.direction,
        "needs": ", ".join(metric.needs) or "structures alone",
        "version": str(metric.version),
        "measured": measured,
        "rationale": metric.rationale,
        "evidence": metric.evidence,
    }
    yield from textwrap.wrap(f"{metric.name}: {metric.title}", width)
    yield ""
    for label, text in facts.items():
        yield from textwrap.wrap(text, width, initial_indent=f"{label:12}", subsequent_indent=" " * 12)


def new_metric_command(
    name: Annotated[str, typer.Argument(help="Name of the metric: small letters, digits and hyphens.")],
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="The folder to create; NAME by default.")
    ] = None,
) -> None:
    """Write a small package with a metric that passes its tests, to begin from."""
    from ..benchmark.scaffold import write_package

    folder = output_dir or Path(name)
    for path in write_package("metric", name, folder):
        say(f"{path}")
    say(f"Next: pip install -e {folder}, pytest {folder}, amsbench metrics {name}")
