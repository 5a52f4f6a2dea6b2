"""Structure files: reading in any format of ASE, writing extended XYZ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, overload

from ...errors import AmsbenchError
from .files import write_atomically
from .structure_checks import check_units, copies_in, fault_of
from .structure_formats import check_format, parse_file
from .structure_sources import source_files
from .structure_summary import summary_line

if TYPE_CHECKING:
    from ase import Atoms


STRUCTURE_SUFFIXES = (".extxyz", ".xyz")
"""Suffixes of the structure files that are written, all in extended XYZ."""


@dataclass(frozen=True)
class StructureSet(Sequence["Atoms"]):
    """The structures of files in their order, with the places that they come from.

    names: of each structure, for messages, such as "structure 1 in a.xyz"
    files: name of the file of each structure
    formats: ASE's names of the formats of the files
    left_out: names of documents beside the structures, which were not read
    """

    source: str
    frames: list[Atoms]
    names: list[str]
    files: list[str]
    formats: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @overload
    def __getitem__(self, index: int) -> Atoms: ...
    @overload
    def __getitem__(self, index: slice) -> list[Atoms]: ...
    def __getitem__(self, index: int | slice) -> Atoms | list[Atoms]:
        return self.frames[index]

    @cached_property
    def faults(self) -> dict[int, str]:
        """Why structures cannot be measured, by their numbers."""
        return {k: fault for k, frame in enumerate(self.frames) if (fault := fault_of(frame)) is not None}

    @cached_property
    def copies(self) -> dict[int, int]:
        """Numbers of structures that are the same as an earlier one, with its number."""
        return copies_in(self.frames)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **kwargs: Any) -> dict[str, Any]:
        """What a notebook shows: the structures in three dimensions, those that can be drawn."""
        from ..display.structure_view import StructureView

        try:
            return StructureView(self.frames)._repr_mimebundle_(include, exclude, **kwargs)
        except AmsbenchError:
            return {"text/plain": self.summary()}

    def check(self, *, all_sound: bool) -> None:
        """Raise AmsbenchError for the first structure that cannot be measured, and for other units than angstrom.

        all_sound: False raises only where no structure can be measured
        """
        if self.faults and (all_sound or len(self.faults) == len(self)):
            first = min(self.faults)
            raise AmsbenchError(f"{self.names[first]} {self.faults[first]}")
        check_units([self.frames[k] for k in range(len(self)) if k not in self.faults], self.source)

    def summary(self) -> str:
        """One line of what was read: structures, files, formats, composition, cells, density, copies."""
        return summary_line(
            self.source, self.frames, self.files, self.formats, self.faults, self.copies, self.left_out
        )


def read_structures(path: Path, types: Sequence[str] = (), format_name: str | None = None) -> StructureSet:
    """All structures of a file in one of ASE's formats, or of all files in a folder or an archive by their names.

    types: chemical symbols of LAMMPS' atom types 1, 2, ..., for files that number their atoms by type alone
    format_name: ASE's name of the format of all files; None recognises it
    Raises AmsbenchError if there are no structures and if a file cannot be parsed in full. The structures are not
    checked (``StructureSet.check``).
    """
    if format_name is not None:
        check_format(format_name)
    frames: list[Atoms] = []
    names: list[str] = []
    files: list[str] = []
    formats: list[str] = []
    with source_files(path) as (sources, left_out):
        for source in sources:
            parsed, form = parse_file(source, types, format_name)
            if not parsed:
                raise AmsbenchError(f"{source.name} holds no structures; give a file with at least one")
            names += [f"structure {k} in {source.name}" for k in range(len(parsed))]
            files += [source.name] * len(parsed)
            formats.append(form)
            frames += parsed
    return StructureSet(str(path), frames, names, files, tuple(dict.fromkeys(formats)), tuple(left_out))


def check_structure_suffix(path: Path) -> None:
    """Raise AmsbenchError for the name of an output file that is not one of extended XYZ."""
    if path.suffix not in STRUCTURE_SUFFIXES:
        raise AmsbenchError(
            f"structures are written as .extxyz, not '{path.suffix}' ({path}); rename the output"
        )


def write_frames(path: Path, frames: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, atomically; those of an iterator are written as they come."""
    from ase.io.extxyz import write_extxyz

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8") as file:
            for frame in frames:
                write_extxyz(file, [frame])

    write_atomically(path, write)


class _Cancelled(Exception):
    """Sent to the writing thread instead of further structures after an error."""


@contextmanager
def frame_writer(path: Path) -> Iterator[Callable[[list[Atoms]], None]]:
    """Function that queues structures for a thread, which writes them to an extended XYZ file meanwhile.

    The file appears in full when the block ends, and not at all after an error in the block. Raises AmsbenchError as
    ``write_atomically`` does, at the latest at the end.
    """
    queue: SimpleQueue[list[Atoms] | BaseException | None] = SimpleQueue()

    def queued_frames() -> Iterator[Atoms]:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item

    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(write_frames, path, queued_frames())

        def put(frames: list[Atoms]) -> None:
            if writing.done():
                writing.result()  # it ends before the last structure only by an error, which is raised here
            queue.put(frames)

        try:
            yield put
        except BaseException:
            queue.put(_Cancelled())
            raise
        queue.put(None)
        writing.result()
