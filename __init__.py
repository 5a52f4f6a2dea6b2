"""amsbench: a benchmark of generative models for amorphous materials, and a tool to make them.

>>> import amsbench
>>> silica = amsbench.load_dataset("asio2")
>>> method = amsbench.load_method("amshortcut", dataset="asio2")
>>> glasses = amsbench.generate(method, targets={"ring_size": 5.0}, count=2, steps=5)
>>> amsbench.evaluate(glasses, silica, targets={"ring_size": [5.0, 5.0]}).inverse_design["ring_size"].mae

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import AmsbenchError
from .version import __version__

__all__ = [
    "AmsbenchError",
    "__version__",
    "design",
    "evaluate",
    "generate",
    "load_dataset",
    "load_method",
    "read_structures",
    "train",
    "view",
]

if TYPE_CHECKING:
    from .benchmark.api import design, evaluate, generate, load_method, read_structures, train, view
    from .benchmark.datasets.storage import load_dataset


def __getattr__(name: str) -> Any:
    if name in __all__:
        from .benchmark import api

        return getattr(api, name)
    raise AttributeError(f"module 'amsbench' has no attribute {name!r}")
