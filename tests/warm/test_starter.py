"""The process that forks programs: when it can, and when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from flowyml_aws.warm.starter import WarmStarter
from tests.support.rigs import eventually

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(sys.platform != "linux", reason="warm starts need Linux"),
]

MODULE = "json.tool"  # imports little
ROOT = Path(__file__).parents[2]


def with_numpy(folder: Path, source: str) -> dict[str, str]:
    """Return an environment with an installed package, which has the name of a tested one."""
    package = folder / "site-packages" / "numpy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    return {**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{ROOT}"}


@pytest.fixture
def starter() -> Iterator[WarmStarter]:
    made = WarmStarter(os.environ, MODULE)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "source",
    [
        "1 / 0",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import os; os.environ['HOME'] = '/elsewhere'",
        "import sys; sys.path.append('/elsewhere')",
        "import signal; signal.signal(signal.SIGUSR1, lambda *_: None)",
        "file = open('/dev/null')",
        "print('a warning')",
        "import subprocess; process = subprocess.Popen(['sleep', '60'])",
        "import os; os.kill(os.getpid(), 9)",
    ],
)
def test_a_package_whose_import_a_fork_would_share_is_not_forked(
    tmp_path: Path, source: str
) -> None:
    starter = WarmStarter(with_numpy(tmp_path, source), MODULE, libraries=["numpy"])
    with pytest.raises(OSError, match="has exited"):
        starter.is_ready(None)


def test_variables_that_an_import_adds_are_those_of_each_fork(tmp_path: Path) -> None:
    source = "import os; os.environ.update(ADDED='1', KEPT='of the import')"
    environment = with_numpy(tmp_path, source)
    program = (
        "import os, sys; print(os.environ['ADDED'], os.environ['KEPT'], 'numpy' in sys.modules)"
    )
    (tmp_path / "site-packages" / "shown").mkdir()
    (tmp_path / "site-packages" / "shown" / "__main__.py").write_text(
        f"if __name__ == '__main__':\n    {program}\n"
    )
    (tmp_path / "site-packages" / "shown" / "__init__.py").touch()
    starter = WarmStarter(environment, "shown", libraries=["numpy"])
    process = starter.start([], {**environment, "KEPT": "of the job"}, tmp_path)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read() == b"1 of the job True\n"
    assert process.wait() == 0
    starter.stop()


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit()"])
@pytest.mark.parametrize("imports", ["pass", "import time; time.sleep(600)"])
def test_the_process_ends_with_its_client(tmp_path: Path, end: str, imports: str) -> None:
    client = f"""
import os, sys
from flowyml_aws.warm.starter import WarmStarter
starter = WarmStarter(os.environ, {MODULE!r}, libraries=["numpy"])
starter.begin()
{"starter.is_ready(None)" if imports == "pass" else ""}
print(starter._process.pid, flush=True)
{end}
"""
    environment = with_numpy(tmp_path, imports)
    command = [sys.executable, "-W", "ignore", "-c", client]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=600)
    eventually(partial(_is_gone, int(done.stdout)))


def test_a_program_is_not_started_after_its_client_has_given_up(
    starter: WarmStarter, tmp_path: Path
) -> None:
    assert starter.is_ready(None)
    assert starter._process is not None
    server = psutil.Process(starter._process.pid)
    server.suspend()
    file = tmp_path / "formatted.json"
    (tmp_path / "given.json").write_text("{}")
    with pytest.raises(TimeoutError):
        starter.start(["given.json", str(file)], os.environ, tmp_path, within_s=0)
    server.resume()
    again = starter.start(["given.json"], os.environ, tmp_path)  # after the first request
    assert again.stdout is not None
    with again.stdout:
        assert again.stdout.read() == b"{}\n"
    again.wait()
    eventually(lambda: not server.children(recursive=True))
    assert not file.exists()


def test_forks_draw_different_random_numbers_with_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    package = tmp_path / "drawing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "if __name__ == '__main__':\n    import torch\n    print(torch.rand(1).item())\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    starter = WarmStarter(environment, "drawing", libraries=["torch"])
    drawn = set()
    for _ in range(2):
        process = starter.start([], environment, tmp_path)
        assert process.stdout is not None
        with process.stdout:
            drawn.add(process.stdout.read())
        assert process.wait() == 0
    starter.stop()
    assert len(drawn) == 2


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
