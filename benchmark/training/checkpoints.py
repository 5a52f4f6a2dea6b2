"""Checkpoint files: weights as safetensors, with method, task, configuration and training record in the header."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from ...errors import AmsbenchError
from ..interface.method import Method, method_class
from ..interface.settings import unlike_default
from ..interface.task import Task
from ..system.files import parsed_json, reason_of, write_bytes
from .stages import record_error

CHECKPOINT_FORMAT = 3
RELEASED = Path(__file__).parent / "released"
"""Folder of the checkpoints that come with the package, ``<method>-<dataset>.safetensors``."""
LARGEST_SETTING = 10_000_000
"""Largest whole number in the configuration of a network; tables of as many numbers still fit into memory."""
UNSTORED_TENSORS, UNSTORED_NUMBERS = 1_000, 10_000_000
"""Most parameters of a network that its checkpoint does not hold, such as those of the training alone, and numbers in
them."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A loaded checkpoint.

    record: training record (options, structures seen, time, hardware, versions), as JSON data
    content_hash: sha256 of method, task, configuration and weights, on which the generated structures depend
    devices: torch names of the devices that share a generation; the method is on the first one
    """

    method: Method
    record: dict[str, Any]
    content_hash: str
    path: Path
    devices: tuple[str, ...] = ()


def save_checkpoint(path: Path, method: Method, record: dict[str, Any]) -> None:
    """Write the method's weights, task, configuration and training record to one file, atomically."""
    from safetensors.torch import save

    header = {
        "format": CHECKPOINT_FORMAT,
        "method": method.name,
        "task": method.task.to_json(),
        "config": method.config,
        "record": record,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in method.sampling_state().items()}
    header["digest"] = digest_of(header, tensors)
    write_bytes(path, save(tensors, metadata={"amsbench": json.dumps(header)}))


def load_checkpoint(
    path: Path | str, device: torch.device | str = "cpu", *, cls: type[Method] | None = None
) -> Checkpoint:
    """Rebuild a method from its file; AmsbenchError if the file is missing, damaged or of another format.

    cls: class of the method, by default the class registered under the name in the file
    """
    path = Path(path)
    header, tensors = _read_header(path), _read_tensors(path)
    if header["digest"] != digest_of(header, tensors):
        raise _damaged(path, "its content is not what was written")
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _damaged(path, f"the weights {name} are not all finite")
    chosen = cls or method_class(header["method"])
    method = _built(chosen, header, tensors, path)
    try:
        method.load_sampling_state(tensors)
    except RuntimeError as error:
        raise AmsbenchError(
            f"the weights in {path} do not fit the network that its header describes; train it again"
        ) from error
    method.to(device).eval()
    return Checkpoint(
        method=method, record=header["record"], content_hash=content_hash(header, tensors), path=path
    )


def _read_header(path: Path) -> dict[str, Any]:
    """Header of a checkpoint file: format, method, task, config, record, digest."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise AmsbenchError(f"no checkpoint at {path}; give a .safetensors file that 'amsbench train' wrote")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = parsed_json((file.metadata() or {})["amsbench"])
        stored_format = header["format"]
        if stored_format == CHECKPOINT_FORMAT:
            missing = [
                name for name in ("method", "task", "config", "record", "digest") if name not in header
            ]
            if missing:
                raise KeyError(", ".join(missing))
            if not isinstance(header["method"], str) or not isinstance(header["record"], dict):
                raise TypeError("method or record of another type")
            if wrong := record_error(header["record"]):
                raise ValueError(f"its training record has {wrong}")
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise _damaged(path, error) from error
    if stored_format != CHECKPOINT_FORMAT:
        raise AmsbenchError(
            f"{path} has checkpoint format {stored_format!r:.50}, this version reads {CHECKPOINT_FORMAT}; "
            "train it again"
        )
    return header


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, error) from error


def _built(cls: type[Method], header: dict[str, Any], tensors: Mapping[str, Tensor], path: Path) -> Method:
    """The method that a header describes; AmsbenchError where its settings make no network, or one without end."""
    stored = sum(tensor.numel() for tensor in tensors.values())
    try:
        if number := _too_large(header["config"]):
            raise ValueError(f"a setting is {number}")
        task = Task.from_json(header["task"])
        if wrong := unlike_default(header["config"], cls.default_config(cls.networks[0], task)):
            raise ValueError(f"its setting {wrong}")
        with (
            _at_most(len(tensors) + UNSTORED_TENSORS, 2 * stored + UNSTORED_NUMBERS),
            warnings.catch_warnings(),
        ):
            # layers without width, which do not fit the weights
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            return cls(task, header["config"])
    except (
        AmsbenchError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise _damaged(path, reason_of(error)) from error


def _too_large(settings: Any) -> int | None:
    """A whole number in the settings, at any depth, that is larger than any of a network can be; None without one."""
    if isinstance(settings, Mapping | list):
        inner = settings.values() if isinstance(settings, Mapping) else settings
        return next((found for value in inner if (found := _too_large(value))), None)
    return settings if isinstance(settings, int) and abs(settings) > LARGEST_SETTING else None


@contextmanager
def _at_most(most_tensors: int, most_numbers: int) -> Iterator[None]:
    """Ends the construction of a network with more parameters by a ValueError.

    Layers register their parameters before they fill them, so that sizes without measure take no memory.
    """
    tensors = numbers = 0

    def counted(_module: object, _name: str, parameter: Tensor | None) -> None:
        nonlocal tensors, numbers
        tensors += 1
        numbers += 0 if parameter is None else parameter.numel()
        if tensors > most_tensors or numbers > most_numbers:
            raise ValueError("its header describes a network that is larger than its weights")

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _damaged(path: Path, error: Exception | str) -> AmsbenchError:
    return AmsbenchError(
        f"{path} is not a checkpoint of amsbench or is damaged ({error}); train or copy it again"
    )


def content_hash(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 of method, task, configuration and weights, without the training record."""
    parts = {name: header[name] for name in ("method", "task", "config")}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def digest_of(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 of all of a checkpoint file, by which one with changed bytes is known."""
    fields = {name: value for name, value in header.items() if name != "digest"}
    text = json.dumps(fields, sort_keys=True)
    weights = content_hash({"method": "", "task": "", "config": ""}, tensors)
    return hashlib.sha256(f"{weights} {text}".encode()).hexdigest()


def released_path(method: str, dataset: str) -> Path:
    """Path of the released checkpoint of a method on a dataset, whether it exists or not."""
    return RELEASED / f"{method}-{dataset}.safetensors"


def finished_checkpoint(folder: Path) -> Path | None:
    """Path of the best checkpoint of the finished training in ``folder``; None if there is no training.

    Raises AmsbenchError if the training is not finished.
    """
    best, last = folder / "best.safetensors", folder / "last.safetensors"
    if not any((folder / name).exists() for name in ("resume.pt", best.name, last.name)):
        return None
    record = _read_header(last)["record"] if last.is_file() else {}
    if not best.is_file() or record.get("fraction") != 1.0:
        share = f" ({100 * record['fraction']:.0f} % are done)" if "fraction" in record else ""
        raise AmsbenchError(
            f"the training in {folder} is not finished{share}; give the same 'amsbench train' command again to go on "
            f"with it, or use what it has so far with --checkpoint {best}"
        )
    return best


def released_checkpoint(method: type[Method], dataset: str) -> Path | None:
    """Path of the released checkpoint of a method, or of the method in its ``trained_as``; None if there is none."""
    for name in (method.name, method.trained_as):
        if name is not None and (path := released_path(name, dataset)).is_file():
            return path
    return None


def trained_method(path: Path | str) -> str:
    """Name of the method that a checkpoint was trained as; AmsbenchError as in ``load_checkpoint``."""
    return str(_read_header(Path(path))["method"])


def check_matches(checkpoint: Checkpoint, dataset: str, method: str | None = None) -> None:
    """Raise AmsbenchError if a checkpoint belongs to another dataset or method than the given ones."""
    trained = checkpoint.method
    if trained.task.dataset != dataset:
        raise AmsbenchError(
            f"{checkpoint.path} was trained on '{trained.task.dataset}', not on '{dataset}'; "
            f"use --dataset {trained.task.dataset} or another checkpoint"
        )
    if method is not None and trained.name != method:
        raise AmsbenchError(
            f"{checkpoint.path} is of method '{trained.name}', not '{method}'; "
            f"use --method {trained.name} or another checkpoint"
        )
