"""All figures of results as files for print, with their captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

from ...benchmark.runs.results import Result, ResultFiles
from ...benchmark.system.files import check_writable, write_bytes, write_text
from ...errors import AmsbenchError
from ..comparisons import Comparison, comparisons_of
from ..tables.result_numbers import structural_scores
from .curve_figures import curves_figure
from .distribution_figures import distribution_figure
from .error_figures import errors_figure, structural_figure
from .obtained_values import targets_figure
from .plot_style import PRINT, Drawing

FORMATS = ("svg", "pdf", "png")
CAPTIONS = "captions.md"
_WITHOUT_DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
"""Metadata by format: the same results give the same bytes."""


def save_figures(
    store: ResultFiles, output_folder: Path | str, results: Sequence[Result], formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Draw every figure that the results allow into ``output_folder``, in each format, and return the files.

    Per structural comparison the errors of its curves and the curves themselves; per property with targets its errors,
    its distribution, and the obtained against the target values, which are read from the parquet files beside the
    results. Their captions are in ``captions.md``. AmsbenchError for an unknown format, where there are no results,
    where a parquet file is missing or damaged, and where the folder cannot be written.
    """
    from matplotlib import rc_context

    folder = Path(output_folder)
    for name in formats:
        if name not in FORMATS:
            raise AmsbenchError(f"figures have no format '{name}'; choose from {', '.join(FORMATS)}")
    if not results:
        raise AmsbenchError(
            "there are no results to draw; run 'amsbench run' first or give another --results"
        )
    check_writable(folder)
    paths: list[Path] = []
    captions = ["# Captions"]
    with rc_context(PRINT):
        for stem, drawing in _with_names(_drawings(store, results)):
            for name in formats:
                path = folder / f"{stem}.{name}"
                _save(drawing, path, name)
                paths.append(path)
            captions.append(f"`{stem}`: {' '.join(drawing.caption)}")
    if not paths:
        return []
    write_text(folder / CAPTIONS, "\n\n".join(captions) + "\n")
    return [*paths, folder / CAPTIONS]


def _save(drawing: Drawing, path: Path, name: str) -> None:
    # matplotlib's writer of PDF files ends a failed file with errors of its own
    content = BytesIO()
    drawing.figure.savefig(content, format=name, metadata=_WITHOUT_DATES[name])
    write_bytes(path, content.getvalue())


def _with_names(drawings: Iterable[tuple[str, Drawing]]) -> Iterator[tuple[str, Drawing]]:
    """File names without suffix: those of comparisons that differ in other conditions are numbered."""
    used: Counter[str] = Counter()
    for title, drawing in drawings:
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        used[stem] += 1
        yield stem if used[stem] == 1 else f"{stem}-{used[stem]}", drawing


def _drawings(store: ResultFiles, results: Sequence[Result]) -> Iterator[tuple[str, Drawing]]:
    """Name and drawing of each figure; non-learned baselines take no steps, so that they alone have none."""
    kinds = {result.key.kind for result in results}
    for comparison in comparisons_of(results, "structural") if "structural" in kinds else ():
        if comparison.entries:
            where = _conditions(comparison)
            yield f"errors {where}", structural_figure(comparison)
            for name in _curves_of(comparison):
                if drawing := curves_figure(comparison, name, store):
                    yield f"{name} {where}", drawing
    for comparison in comparisons_of(results, "inverse-design") if "inverse-design" in kinds else ():
        for name in comparison.key.targets if comparison.entries else ():
            where = f"{name} {_conditions(comparison)}"
            yield f"errors {where}", errors_figure(comparison, name)
            for kind, draw in (("distribution", distribution_figure), ("targets", targets_figure)):
                if drawing := draw(comparison, name, store):
                    yield f"{kind} {where}", drawing


def _conditions(comparison: Comparison) -> str:
    key = comparison.key
    others = [plan for plan in [key.plan] if plan not in key.targets or len(key.targets) > 1]
    return " ".join([key.dataset, *others, key.protocol, *(["fixed budget"] if comparison.budget else [])])


def _curves_of(comparison: Comparison) -> list[str]:
    return list(
        dict.fromkeys(name for result in comparison.results for name in structural_scores(result).curves)
    )
