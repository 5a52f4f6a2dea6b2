"""The resume state of a training: the file ``resume.pt`` in its folder."""

from __future__ import annotations

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from ...errors import AmsbenchError
from ..system.files import write_bytes
from .options import without_length

RESUME_FILE = "resume.pt"
HASH_BYTES = 32


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of the training in a folder; None if there is none. AmsbenchError if it is damaged."""
    path = folder / RESUME_FILE
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        if sha256(content[HASH_BYTES:]).digest() != content[:HASH_BYTES]:
            raise ValueError("its content is not what was written")
        state: dict[str, Any] = torch.load(
            BytesIO(content[HASH_BYTES:]), weights_only=True, map_location="cpu"
        )
    except Exception as error:
        raise AmsbenchError(
            f"{path} is damaged and cannot be resumed; delete it to train again from the start"
        ) from error
    return state


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state atomically: the sha256 of torch's archive, then the archive.

    The checksums of the archive itself do not cover all of it, and torch does not compare them.
    """
    archive = BytesIO()
    torch.save(state, archive)
    content = archive.getvalue()
    write_bytes(folder / RESUME_FILE, sha256(content).digest() + content)


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
