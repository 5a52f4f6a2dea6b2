"""Objects that notebooks show as HTML, written by a module that knows the object and not the other way round."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar


class ShowsItself:
    """An object with a view for notebooks.

    html_writer: module of the package and function that gives its HTML, as "benchmark.design.report:design_html"
    """

    html_writer: ClassVar[str]

    def _repr_html_(self) -> str:
        module, function = self.html_writer.split(":")
        package = __package__.removesuffix(".benchmark.display")
        return str(getattr(import_module(f"{package}.{module}"), function)(self))
