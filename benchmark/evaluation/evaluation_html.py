"""An evaluation as HTML, for notebooks: its scores in sentences, and its mean curves over those of the reference."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from ...metrics.metric import CurveMetric
from ..display.mean_curve_chart import ReferenceCurve, mean_curve_svg
from ..registry import load_metric
from .report import report_lines
from .unmeasurable import is_measured

if TYPE_CHECKING:
    from .evaluate import Evaluation


def evaluation_html(evaluation: Evaluation) -> str:
    """What ``amsbench evaluate`` prints as a list, above a chart of the curves where curves were scored."""
    first, *others = report_lines(evaluation)
    items = "".join(f"<li>{html.escape(line)}</li>" for line in others)
    return f"<p><b>{html.escape(first)}</b></p><ul>{items}</ul>{_chart(evaluation)}"


def _chart(evaluation: Evaluation) -> str:
    scores = evaluation.structural
    if scores is None or not scores.means:
        return ""
    count = sum(is_measured(dict(row)) for _, row in evaluation.table.iterrows())
    references = {}
    for name in scores.means:
        metric = load_metric(name, CurveMetric)
        frozen = evaluation.reference.curve(metric)
        spread = np.sqrt(frozen.variance / count + frozen.mean_variance)
        references[name] = ReferenceCurve(metric.head, metric.axis, frozen.grid, frozen.mean, spread)
    split = "held-out" if scores.reference == "test" else "training"
    note = f"Orange: these structures; black: the {split} structures and the noise of as many as these."
    return f"{mean_curve_svg(references, scores.means)}<p>{note}</p>"
