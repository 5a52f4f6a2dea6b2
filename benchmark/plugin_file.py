"""Methods in single Python files, used without installation: ``--method ./meanflow.py`` or ``FILE.py:Class``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from ..errors import AmsbenchError
from . import registry
from .interface.method import Method


def is_method_file(text: str) -> bool:
    """Whether a ``--method`` argument is a file (and class) instead of a registered name."""
    return text.partition(":")[0].endswith(".py")


def register_method_file(text: str) -> str:
    """Register the method class in a file for this process and return its name.

    text: ``FILE.py``, where the file defines one Method, or ``FILE.py:Class``
    Raises AmsbenchError for a file that is missing, fails to import or has no (or more than one) such class, and for a
    name that an installed method has.
    """
    place, _, attribute = text.partition(":")
    path = Path(place)
    if not path.is_file():
        raise AmsbenchError(
            f"no file {path}; give a Python file that defines a Method, or a name from 'amsbench methods'"
        )
    module_name = f"amsbench_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise AmsbenchError(f"{path} cannot be imported as a Python module; give a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file does wrong
        del sys.modules[module_name]
        line = _line_in(error, path)
        raise AmsbenchError(
            f"{path} cannot be imported: {type(error).__name__}: {error}{line}; correct it"
        ) from error
    classes = {
        name: item
        for name, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, Method) and item.__module__ == module_name
    }
    if attribute and attribute not in classes:
        raise AmsbenchError(
            f"{path} defines no Method called '{attribute}'; it defines {', '.join(classes) or 'none'}"
        )
    if not attribute and len(classes) != 1:
        class_names = ", ".join(classes) or "none"
        raise AmsbenchError(
            f"{path} defines {len(classes)} methods ({class_names}); name one, like {path}:MyMethod"
        )
    chosen = classes[attribute] if attribute else next(iter(classes.values()))
    name = getattr(chosen, "name", None)
    if not isinstance(name, str) or not name:
        raise AmsbenchError(
            f'the class {chosen.__name__} in {path} has no name; set name = "my-method" in the class'
        )
    registry.register("methods", name, chosen, str(path))
    return name


def _line_in(error: BaseException, path: Path) -> str:
    """`` (line 12)``: the last line of the file that the error came through."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""
