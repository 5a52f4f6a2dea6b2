"""A table of text with its caption and the numbers behind it, and the formats it can be printed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal, get_args

from tabulate import tabulate

from ...errors import AmsbenchError

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["plain", "github", "csv", "latex"]
FORMATS: tuple[str, ...] = get_args(Format)
EMPTY = "-"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a leaderboard.

    columns: heads of all columns, the one of the row labels first
    rows: texts, as many per row as there are columns
    caption: sentences on what the numbers are and under which conditions they hold
    records: the numbers behind the table, one flat row each; tables of the same results share their records, and
        printing them together as csv gives each record once
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: tuple[str, ...]
    records: tuple[dict[str, Any], ...]

    def frame(self) -> pd.DataFrame:
        """The text of the table, indexed by its row labels."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns)).set_index(self.columns[0])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        caption = escape(" ".join(self.caption))
        body = tabulate(self.rows, self.columns, "html", disable_numparse=True)
        return f"<p><b>{escape(self.title)}</b></p>{body}<p>{caption}</p>"


def render(
    tables: Table | Iterable[Table],
    format: Format | str = "plain",
    *,
    width: int | None = None,
    hint: str = "",
) -> str:
    """Tables as text: ``plain`` for a terminal, ``github`` (Markdown), ``latex`` (booktabs) or ``csv``.

    In ``plain`` a sentence of a caption is printed once, under the first table that has it.
    ``csv`` is one long table with a number per row, for further work; the others print the texts under a title and
    above a caption.
    width: characters per line of ``plain``; a wider table is split into blocks of columns
    hint: a sentence for the caption of a split table, on how to see fewer columns
    AmsbenchError for an unknown format.
    """
    chosen = [tables] if isinstance(tables, Table) else list(tables)
    if format == "csv":
        return _csv(chosen)
    if format == "github":
        return "\n\n".join(map(_github, chosen)) + "\n"
    if format == "latex":
        return "% needs \\usepackage{booktabs}\n" + "\n\n".join(map(_latex, chosen)) + "\n"
    if format == "plain":
        # tables follow each other on the screen: a sentence under an earlier table holds for the later ones too
        printed: set[str] = set()
        texts = []
        for table in chosen:
            split = len(_blocks(table, width)) > 1
            caption = (*table.caption, hint) if split and hint else table.caption
            fresh = tuple(sentence for sentence in caption if sentence not in printed)
            printed.update(fresh)
            texts.append(_plain(replace(table, caption=fresh), width))
        return "\n\n".join(texts) + "\n"
    raise AmsbenchError(f"unknown table format '{format}'; known: {', '.join(FORMATS)}")


def _csv(tables: Sequence[Table]) -> str:
    import pandas as pd

    records = {id(record): record for table in tables for record in table.records}
    frame = pd.DataFrame(list(records.values())).convert_dtypes()  # whole numbers stay whole beside gaps
    return frame.to_csv(index=False, lineterminator="\n")


def _github(table: Table) -> str:
    heads, *rows = [[text.replace("|", "\\|") for text in row] for row in (table.columns, *table.rows)]
    body = _grid(heads, rows, "github")
    note = " ".join(table.caption).replace("*", "\\*")
    return f"**{table.title}**\n\n{body}\n\n{note}"


def _plain(table: Table, width: int | None) -> str:
    blocks = [_grid(columns, rows, "simple") for columns, rows in _blocks(table, width)]
    title, caption = ("\n".join(_wrapped(texts, width)) for texts in ((table.title,), table.caption))
    return "\n\n".join([title, *blocks, *([caption] if caption else [])])


def _latex(table: Table) -> str:
    caption = " ".join(_sentence(text) for text in (table.title, *table.caption))
    return "\n".join(
        [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_latex_escape(caption)}}}",
            _grid(table.columns, table.rows, "latex_booktabs"),
            "\\end{table}",
        ]
    )


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers=columns, tablefmt=style, disable_numparse=True)


def _blocks(table: Table, width: int | None) -> list[tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """The table cut into groups of columns that fit ``width``, the row labels repeated in each."""
    heads = [f"{head}  " for head in table.columns]  # tabulate pads the heads
    sizes = [max(map(len, texts)) for texts in zip(heads, *table.rows, strict=True)]
    groups: list[list[int]] = [[]]
    used = sizes[0]
    for k, size in enumerate(sizes[1:], start=1):
        if width is not None and groups[-1] and used + 2 + size > width:
            groups.append([])
            used = sizes[0]
        groups[-1].append(k)
        used += 2 + size
    return [
        ([table.columns[k] for k in (0, *group)], [[row[k] for k in (0, *group)] for row in table.rows])
        for group in groups
    ]


def _wrapped(sentences: Iterable[str], width: int | None) -> list[str]:
    import textwrap

    if width is None:
        return list(sentences)
    return [line for sentence in sentences for line in textwrap.wrap(sentence, max(width, 20))]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\ensuremath{<}",
    ">": "\\ensuremath{>}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def _latex_escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
