"""Generation into a file: memory that does not grow with the number of structures, and nothing lost when it stops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..system.structure_files import frame_writer
from .generate import GENERATION_VERSION, Generated
from .on_workers import generate_by
from .partial_results import kept_until_done

if TYPE_CHECKING:
    from ..training.checkpoints import Checkpoint


def generate_to_file(
    checkpoint: Checkpoint,
    path: Path,
    *,
    code: str,
    cells: np.ndarray,
    counts: np.ndarray,
    targets: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    steps: int,
    sampler: str | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Generated:
    """Structures of ``generate_structures`` in an extended XYZ file, and their cost; no frames are returned.

    Finished batches are kept in a hidden folder beside the file, which appears when all are finished: the same call
    goes on where another one was stopped, with the same structures to the last bit.

    code: hash of the code of the method; batches of other code are not taken
    executor: one of a cluster generates
    """
    method = checkpoint.method
    chosen = method.sampler_named(sampler or method.preferred_sampler())
    request = {
        "checkpoint": checkpoint.content_hash,
        "code": code,
        "generation": GENERATION_VERSION,
        "precision": method.product_type(),
        "sampler": [chosen.name, chosen.version],
        "steps": steps,
        "seed": seed,
        "targets": {name: np.asarray(values, float).tolist() for name, values in (targets or {}).items()},
        "counts": np.asarray(counts).tolist(),
    }
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(cells, dtype=np.float64).tobytes())
    folder = path.with_name(f".{path.name}-{digest.hexdigest()[:12]}.partial")
    with kept_until_done(folder) as partial, frame_writer(path) as put:
        return generate_by(
            executor,
            checkpoint,
            cells=cells,
            counts=counts,
            targets=targets,
            steps=steps,
            sampler=chosen.name,
            seed=seed,
            progress=progress,
            sink=put,
            partial=partial,
            keep=False,
        )
