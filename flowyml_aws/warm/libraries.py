"""Installed packages that a warm process may import, and the checks that forks of it are safe.

A fork has only the thread that called it, and all of the memory: a package with threads, open
files or devices would be broken in it. So only tested packages are imported, and the process ends
if their import has left anything that a fork would share.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath
from types import ModuleType

from flowyml_aws.warm.openblas import ONE_THREAD, OpenBlas, loaded_openblas

__all__ = [
    "LIBRARIES",
    "ONE_THREAD",
    "UnsafeForkError",
    "device_libraries",
    "import_libraries",
    "untested",
]

LIBRARIES = ("numpy", "scipy", "pandas", "sklearn", "torch")
"""Packages that are worth a warm process, in the order in which they are imported."""

# What these packages import. Each is tested in forks, in this state: imported, and not used.
_TESTED = frozenset(
    {
        *LIBRARIES,
        "charset_normalizer",
        "cloudpickle",
        "dateutil",
        "joblib",
        "narwhals",
        "psutil",
        "pyarrow",
        "pytz",
        "six",
        "threadpoolctl",
        "torchgen",
        "typing_extensions",
        "tzdata",
    }
)
# Its library has handlers for forks: in a fork, it returns memory to the system without a thread.
_TESTED_THREADS = frozenset({"jemalloc_bg_thd"})
_DEVICES = ("libcuda", "libcudart", "libcudnn", "libcublas", "libamdhip", "libhsa-", "libze_")
_LIMIT_S = 60  # for the imports
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})


class UnsafeForkError(Exception):
    """A fork of this process would differ from a new process."""


@dataclass(frozen=True, slots=True)
class _State:
    """State of a process that imports must not change, except for more environment variables."""

    path: tuple[str, ...]
    folder: str
    handlers: tuple[object, ...]
    streams: tuple[object, ...]
    environment: Mapping[str, str]

    @classmethod
    def now(cls) -> _State:
        return cls(
            path=tuple(sys.path),
            folder=str(Path.cwd()),
            handlers=tuple(signal.getsignal(number) for number in signal.valid_signals()),
            streams=(sys.stdin, sys.stdout, sys.stderr, sys.argv, sys.excepthook),
            environment=dict(os.environ),
        )


def import_libraries(names: Sequence[str], descriptor: int) -> Callable[[], None]:
    """Import packages, and return what each fork has to call before it runs a program.

    Args:
        names: Names of installed packages.
        descriptor: File descriptor of this process, besides those of the standard streams.

    Raises:
        UnsafeForkError: A fork would differ from a new process.
        Exception: A package can't be imported.
    """
    modules, before = set(sys.modules), _State.now()
    signal.alarm(_LIMIT_S)  # ends this process
    for name in names:
        import_module(name)
    signal.alarm(0)
    after = _State.now()
    found = [module for name, module in [*sys.modules.items()] if name not in modules]
    maps = Path("/proc/self/maps").read_text("utf-8")
    for problem, items in (
        ("untested packages", untested(found)),
        ("threads", _threads() - _TESTED_THREADS),
        ("open files", _descriptors() - {"0", "1", "2", str(descriptor)}),
        ("libraries of devices", device_libraries(maps)),
        ("changes", _changes(before, after)),
    ):
        if items:
            raise UnsafeForkError(f"{problem}: {', '.join(sorted(items))}")
    added = {n: v for n, v in after.environment.items() if n not in before.environment}
    blas = [OpenBlas.load(path) for path in loaded_openblas(maps)]

    def enter_fork() -> None:
        for name, value in added.items():
            os.environ.setdefault(name, value)
        for library in blas:
            library.use_threads(os.environ)
        _reseed()

    return enter_fork


def untested(modules: Iterable[ModuleType]) -> set[str]:
    """Return the names of the packages of modules that are not known to be safe in forks.

    Args:
        modules: Imported modules. Those of Python itself and without a file are ignored.
    """
    found = {_package(module) for module in modules}
    return {name for name in found if name is not None} - _TESTED


def _package(module: ModuleType) -> str | None:
    """Return the name of the installed package of a module; the path of a user's module."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    parts = PurePath(file).parts
    at = max((n for n, part in enumerate(parts) if part in _PACKAGE_FOLDERS), default=None)
    if at is not None:
        name = parts[at + 1].partition(".")[0]
        return None if name == "flowyml_aws" else name
    name = module.__name__.partition(".")[0]
    if not PurePath(file).is_absolute():
        return name  # made by the package itself, such as `torch.ops`
    is_own = name == "flowyml_aws" or name in sys.stdlib_module_names
    return None if is_own or name.startswith("_sysconfigdata") else file


def device_libraries(maps: str) -> set[str]:
    """Return the libraries of accelerators in the text of a `/proc/self/maps`."""
    names = {line.rpartition("/")[2] for line in maps.splitlines() if "/" in line}
    return {name for name in names if name.startswith(_DEVICES)}


def _changes(before: _State, after: _State) -> set[str]:
    """Return what the imports have changed in this process."""
    fields = ("path", "folder", "handlers", "streams")
    changed = {name for name in fields if getattr(before, name) != getattr(after, name)}
    for name, value in before.environment.items():
        if after.environment.get(name) != value:
            changed.add(name)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.fstat(1).st_size:  # a warning, which belongs into the log of each job
        changed.add("output")
    try:
        os.waitpid(-1, os.WNOHANG)
        changed.add("processes")
    except ChildProcessError:
        pass
    return changed


def _threads() -> set[str]:
    """Return the names of the threads of this process, except for the main thread."""
    tasks = Path("/proc/self/task")
    own = str(os.getpid())
    return {
        (task / "comm").read_text("utf-8").strip() for task in tasks.iterdir() if task.name != own
    }


def _descriptors() -> set[str]:
    # The listing itself has one, which is closed then.
    return {link.name for link in [*Path("/proc/self/fd").iterdir()] if link.exists()}


def _reseed() -> None:
    """Give a fork its own random numbers. Python's generator does so itself."""
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()
    if (processes := sys.modules.get("multiprocessing.process")) is not None:
        processes.current_process().authkey = os.urandom(32)
