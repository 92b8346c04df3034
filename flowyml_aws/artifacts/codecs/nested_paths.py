"""Files and folders that the paths inside a pickled value name."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from flowyml_aws.artifacts.errors import UnstorableValueError

__all__ = ["NestedPaths", "restored_paths", "stored_path"]


class NestedPaths:
    """The paths in one value that name files or folders, in the order of pickling.

    The files of one folder stay in one folder, with their names, and a path in a folder that is
    stored itself stays a path in that folder.
    """

    def __init__(self) -> None:
        self._numbers: dict[Path, int] = {}

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def reduce(self, path: Path) -> Any:
        """Return what pickle stores for a path, or NotImplemented if it names no file or folder.

        Raises:
            UnstorableValueError: The path names a folder that belongs to the machine, or its
                class has its own way of pickling.
        """
        plain_path = Path(path)
        if not _is_file_or_folder(plain_path):
            return NotImplemented
        _refuse_folder_of_machine(plain_path)
        reduced = path.__reduce_ex__(5)
        kind = type(path)
        is_usual = isinstance(reduced, tuple) and reduced[0] is kind
        if not is_usual or Path(*reduced[1]) != plain_path:
            raise UnstorableValueError(
                what=f"A path of class {kind.__qualname__} can't be stored",
                why=f"{path} names a file, but {kind.__qualname__} has its own way of pickling, so "
                "that the file can't be stored with it",
                fix="return pathlib.Path(path)",
            )
        number = self._numbers.setdefault(_location(plain_path), len(self._numbers))
        return stored_path, (kind, number), *reduced[2:]

    def layout(self) -> tuple[dict[PurePosixPath, Path], list[str]]:
        """Return the files and folders to store by name, and the name of each path."""
        folders = {path.resolve() for path in self._numbers if path.is_dir()}
        roots = [path for path in self._numbers if folders.isdisjoint(path.parents)]
        # The names depend only on the value, not on the folders' places on this machine.
        parents: dict[Path, int] = {}
        names = {
            path: PurePosixPath(str(parents.setdefault(path.parent, len(parents))), path.name)
            for path in roots
        }
        places = {path.resolve(): name for path, name in names.items() if path.is_dir()}
        for path in self._numbers:
            if path not in names:
                parent = next(parent for parent in path.parents if parent in places)
                names[path] = places[parent] / path.relative_to(parent)
        return (
            {names[path]: path for path in roots},
            [str(names[path]) for path in self._numbers],
        )


def stored_path(kind: type[Path], number: int) -> NoReturn:
    """Stand in for the path of a stored file. The unpickler replaces this function.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"the file of path {number} was not stored with the value")


def restored_paths(folder: Path, names: Sequence[str]) -> Callable[[type[Path], int], Path]:
    """Return the function that replaces `stored_path`, for files in a folder."""
    return lambda kind, number: kind(folder / names[number])


def _location(path: Path) -> Path:
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _is_file_or_folder(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except OSError:  # its folder can't be read, or its name is too long
        return False


def _refuse_folder_of_machine(path: Path) -> None:
    if not path.is_dir():
        return
    real = path.resolve()
    for place, description in _places_of_machine():
        if place.resolve().is_relative_to(real):
            raise UnstorableValueError(
                what=f"A value with the path {str(path)!r} can't be stored",
                why="the files of a path are stored with the value that contains it, but the "
                f"folder {str(path)!r} is or contains {description} of this machine",
                fix="return str(path) to pass only the name, or the path of a folder that contains "
                "only the value's files",
            )


def _places_of_machine() -> Iterator[tuple[Path, str]]:
    with suppress(FileNotFoundError):  # it was deleted
        yield Path.cwd(), "the working directory"
    with suppress(RuntimeError):  # the user has none
        yield Path.home(), "the home folder"
    yield Path(tempfile.gettempdir()), "the folder of temporary files"
    yield Path(sys.prefix), "the installation of Python"
