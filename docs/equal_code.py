"""Declares that today's code gives the published numbers, after a change that leaves them equal.

Run as ``python docs/equal_code.py`` from the root of the repository, after the structures of a result were generated
and measured before and after the change: its ``files`` have the same hashes, and its scores are the same. A change of
a native kernel that reorders sums may move atoms as far as another instruction set of the kernel before the change
does (``AMSBENCH_NATIVE_LEVEL``), since published results are not bound to a processor either.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from amsbench.benchmark.runs.current_code import EQUAL_CODE, outdated_parts
from amsbench.benchmark.runs.results import Result, ResultStore

PUBLISHED = Path(__file__).parents[1] / "leaderboards" / "results"


def declare(results: Iterable[Result], file: Path) -> list[str]:
    """Names of the plug-ins whose installed code was added to the group of the code of their results in ``file``."""
    groups = json.loads(file.read_text(encoding="utf-8"))
    names = set()
    for result in results:
        for name, (stored, installed) in outdated_parts(result).items():
            plugin = f"{result.key.dataset} {name}" if name in result.inverse_design else name
            own = groups.setdefault(plugin, [])
            group = next((group for group in own if stored in group), None)
            if group is None:
                own.append(group := [stored])
            if installed not in group:
                group.append(installed)
            names.add(plugin)
    file.write_text(json.dumps(dict(sorted(groups.items())), indent=1) + "\n", encoding="utf-8")
    return sorted(names)


if __name__ == "__main__":
    changed = declare(ResultStore(PUBLISHED).results(), EQUAL_CODE)
    sys.stderr.write(f"Equal code declared: {', '.join(changed) or 'nothing changed'}\n")
