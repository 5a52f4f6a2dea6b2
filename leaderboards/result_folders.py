"""Results from several folders together, so that new results stand beside published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..benchmark.runs.results import Result, ResultKey, ResultStore
from ..errors import AmsbenchError

PUBLISHED = Path(__file__).parent / "results"
"""The results that come with the package."""


class ResultFolders:
    """The results of several folders; a result that lies in more than one of them counts once."""

    def __init__(self, folders: Sequence[Path | str]) -> None:
        self.stores = [ResultStore(folder) for folder in folders]

    def results(self) -> list[Result]:
        """All results, those of the first folder first, each with the hashes of the files beside it in all folders.

        AmsbenchError for a folder that does not exist, a damaged file, and two different results with one key.
        """
        results: dict[str, Result] = {}
        paths: dict[str, Path] = {}
        for store in self.stores:
            for result in store.results():
                digest, path = result.key.digest, store.path(result.key)
                first = results.setdefault(digest, result)
                files = {**result.files, **first.files}
                if first.model_copy(update={"files": files}) != result.model_copy(
                    update={"files": {**first.files, **result.files}}
                ):
                    raise AmsbenchError(
                        f"two different results are called {result.key.stem}: {paths[digest]} and {path}; "
                        "delete one of the two files or leave out one of the folders"
                    )
                results[digest] = first.model_copy(update={"files": files})
                paths.setdefault(digest, path)
        return list(results.values())

    def path(self, key: ResultKey, suffix: str = ".json") -> Path:
        """The file of a result with this suffix, in the first folder that has it."""
        paths = [store.path(key, suffix) for store in self.stores]
        return next((path for path in paths if path.exists()), paths[0])
