"""The resume state of a training: the file ``resume.pt`` in its folder."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from ...errors import AmsbenchError
from ..system.files import write_bytes
from .options import without_length

RESUME_FILE = "resume.pt"


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of the training in a folder; None if there is none. AmsbenchError if it is damaged.

    The file is a zip archive, whose checksums torch itself does not compare.
    """
    path = folder / RESUME_FILE
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} has another checksum")
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:
        raise AmsbenchError(
            f"{path} is damaged and cannot be resumed; delete it to train again from the start"
        ) from error
    return state


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state atomically."""
    content = BytesIO()
    torch.save(state, content)
    write_bytes(folder / RESUME_FILE, content.getvalue())


def check_settings(stored: dict[str, Any], settings: dict[str, Any], folder: Path) -> None:
    """Raise AmsbenchError if a training has other settings than the one in its folder.

    The interval of validations may differ, and the length of a training at a constant rate: its steps do not depend on
    them.
    """
    stored, settings = json.loads(json.dumps(stored)), json.loads(json.dumps(settings))
    for options in (stored["options"], settings["options"]):
        options.pop("validate_every", None)
    if stored["options"].get("schedule") == settings["options"]["schedule"] == "constant":
        stored["options"], settings["options"] = map(without_length, (stored["options"], settings["options"]))
    different = [key for key in settings if stored.get(key) != settings[key]]
    if not different:
        return
    names = " and ".join(different)
    if different == ["options"]:
        old, new = stored["options"], settings["options"]
        names += f" ({', '.join(name for name in new if old.get(name) != new[name])})"
    raise AmsbenchError(
        f"{folder} holds a training with another {names}; choose another --output-dir or delete that folder"
    )
