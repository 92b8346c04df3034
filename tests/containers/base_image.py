"""A base image made of this machine's Debian packages and Python, without an image registry."""

from __future__ import annotations

import io
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from flowyml_aws.images.engine import Engine

__all__ = ["make_base_image", "unavailable_reason"]

# Together with their dependencies, the packages of a Debian image with Python.
_PACKAGES = (
    *("base-files", "bash", "dash", "coreutils", "ca-certificates", "passwd", "libc-bin"),
    *("libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0", "zlib1g", "libreadline8"),
    *("libncursesw6", "libuuid1", "libexpat1", "libgomp1", "libstdc++6", "tzdata"),
)
_UNNEEDED_PACKAGES = re.compile("perl|debconf|libperl|openssl$|dpkg|install-info")
_EXCLUDED_FILES = re.compile("usr/share/(doc|man|info|locale|lintian|bug)/")
_MERGED = re.compile("(bin|sbin|lib|lib64)(?=/|$)")
_EXCLUDED_PYTHON_FILES = re.compile(
    r"share/|include/|.*/(test|tests|idlelib|tkinter|turtledemo|__pycache__)/|.*\.a$"
    r"|lib/python[\d.]+/site-packages/(?!pip)"
)
# Replace the machine's own files: the image must not contain its users.
_FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/gshadow": "root:*::\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def unavailable_reason() -> str | None:
    """Return the reason why this machine can't make the image, or None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"images are for linux/amd64, this is {sys.platform}/{platform.machine()}"
    if not Path("/var/lib/dpkg/status").is_file():
        return "the base image is made of Debian packages, and this machine does not run Debian"
    if Path(sys.base_prefix) == Path("/usr"):
        return "the base image needs a separate Python, and this is the system's"
    return None


def make_base_image(engine: Engine, name: str) -> None:
    """Import the image into an engine."""
    command = [engine.program, "import"]
    for change in (
        "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
        "ENV LANG=C.UTF-8",
        "ENV LD_LIBRARY_PATH=/usr/local/lib",
    ):
        command += ["--change", change]
    with subprocess.Popen([*command, "-", name], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with process.stdin, tarfile.open(fileobj=process.stdin, mode="w|") as tar:
            _write(tar)
    assert process.returncode == 0


def _write(tar: tarfile.TarFile) -> None:
    for name in ("tmp", "var/tmp", "proc", "sys", "dev", "run", "root", "usr/local"):
        _add_folder(tar, name, 0o1777 if name.endswith("tmp") else 0o755)
    for name in ("bin", "sbin", "lib", "lib64"):
        _add_folder(tar, f"usr/{name}", 0o755)
        _add_link(tar, name, f"usr/{name}")
    _add_link(tar, "usr/bin/sh", "dash")
    for name, text in _FILES.items():
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text), 0o640 if "shadow" in name else 0o644
        tar.addfile(entry, io.BytesIO(text.encode()))
    for path in sorted(Path("/etc/ssl/certs").iterdir()):
        if path.is_file():
            # Certificates are often links to files outside this folder.
            _add_file(tar, path.resolve(), str(path)[1:])
    for name in _files_of_packages():
        if name not in _FILES and name != "usr/bin/sh":
            tar.add(f"/{name}", name, recursive=False)
    prefix = Path(sys.base_prefix)
    for path in sorted(prefix.rglob("*")):
        name = path.relative_to(prefix).as_posix()
        if not _EXCLUDED_PYTHON_FILES.match(name) and not (path.is_dir() and not path.is_symlink()):
            tar.add(path, f"usr/local/{name}", recursive=False, filter=_owned_by_root)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", "python3"):
        if not (prefix / "bin" / name).exists():
            _add_link(tar, f"usr/local/bin/{name}", f"python{version}")


def _files_of_packages() -> Iterator[str]:
    listed = subprocess.run(
        ["dpkg", "-L", *sorted(_packages())], capture_output=True, text=True, check=True
    ).stdout
    seen = set()
    for line in listed.splitlines():
        name = _MERGED.sub(r"usr/\1", line[1:], count=1) if _MERGED.match(line[1:]) else line[1:]
        path = Path("/", name)
        is_file = path.is_symlink() or path.is_file()
        if is_file and name not in seen and not _EXCLUDED_FILES.match(name):
            seen.add(name)
            yield name


def _packages() -> set[str]:
    """Return the packages and their dependencies, if they are installed."""
    output = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\t${Pre-Depends}, ${Depends}\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    dependencies = {}
    for line in output.splitlines():
        package, status, depends = line.split("\t")
        if status.startswith("ii"):
            dependencies[package] = set(re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)", depends))
    packages: set[str] = set()
    pending = set(_PACKAGES)
    while pending:
        package = pending.pop()
        if (
            package in dependencies
            and package not in packages
            and not _UNNEEDED_PACKAGES.match(package)
        ):
            packages.add(package)
            pending |= dependencies[package]
    return packages


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = path.stat().st_size, 0o644
    with path.open("rb") as file:
        tar.addfile(entry, file)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
