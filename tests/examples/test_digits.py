from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowyml_aws import Run
from flowyml_aws.cli.load import load_pipeline
from tests.support.digits_report import read_figures, skeleton, stable_report

# In one group, so that all tests share one run of the demo.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("digits")]

Demo = tuple[Path, "subprocess.CompletedProcess[str]"]
FILE = "examples/digits/pipeline.py"
PNG = b"\x89PNG\r\n\x1a\n"


def fact(demo: Demo, pattern: str) -> str:
    _, finished = demo
    assert finished.returncode == 0, finished.stderr
    match = re.search(pattern, finished.stdout, re.MULTILINE)
    assert match, finished.stdout
    return match.group(1)


def demo_run(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(demo[0])
    return Run.attach(fact(demo, r"flowyml-aws logs (\S+) training"))


def test_the_demo_reads_more_than_19_of_20_digits(demo: Demo) -> None:
    assert float(fact(demo, r"^accuracy +([\d.]+)")) > 0.95


def test_the_demo_prints_the_path_of_its_picture(demo: Demo) -> None:
    assert Path(fact(demo, r"^picture +(.+)")).read_bytes().startswith(PNG)


def test_the_demo_prints_the_store_of_its_outputs(demo: Demo) -> None:
    assert fact(demo, r"^store +(.+)") == (demo[0] / ".flowyml" / "aws").as_uri()


def test_the_demo_prints_the_gpu_instance_and_hourly_price_on_aws(demo: Demo) -> None:
    assert fact(demo, r"^training .* 1 × t4 +(g4dn\.\w+) ") == "g4dn.xlarge"
    assert float(fact(demo, r"^all jobs at once: \$([\d.]+) per hour")) > 0


def test_the_demo_creates_only_its_store_next_to_the_code(demo: Demo) -> None:
    fact(demo, "(accuracy)")
    names = {path.name for path in demo[0].iterdir()}
    assert names == {".flowyml", "examples", "pyproject.toml", "tmp"}


def test_a_new_run_has_the_report_of_the_docs(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, run `scripts/digits-report`. Numbers and measurements are not compared."""
    report = stable_report(demo_run(demo, monkeypatch).report_data(), demo[0])
    assert skeleton(report) == skeleton(read_figures())


def test_the_log_says_what_the_model_was_trained_on(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line.message for line in demo_run(demo, monkeypatch).logs("training")]
    assert {"tuning on the CPU", "training on the CPU"} <= set(lines) or {
        "tuning on the GPU",
        "training on the GPU",
    } <= set(lines)


@pytest.mark.thorough  # other tests have failing pipelines; only the exit is the demo's own
def test_a_failed_demo_exits_with_1_and_prints_the_failing_line(project: Path, python: Any) -> None:
    file = project / FILE
    file.write_text(file.read_text("utf-8").replace("test_size=0.25", "test_size=2.5"), "utf-8")
    finished = python(FILE)
    assert finished.returncode == 1
    assert "return train_test_split(" in finished.stderr
    assert "accuracy" not in finished.stdout


@pytest.mark.thorough  # the demo runs the same steps, and other tests run other parameters
def test_the_command_line_runs_it_with_other_parameters(project: Path, python: Any) -> None:
    finished = python("-m", "flowyml_aws", "run", FILE, "-c", "folds=2", "-c", "test_size=0.5")
    assert finished.returncode == 0, finished.stderr
    (run_id,) = re.findall(r"run (\S+): succeeded", finished.stdout)
    assert Run.attach(run_id).outputs["metrics"]["images"] == 899


def test_a_gpu_available_to_torch_gives_the_same_predictions(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_pipeline(FILE)
    digits: Any = sys.modules["__main__"]
    images, labels = digits.load()
    images, labels = images[:300] / 16, labels[:300]
    on_cpu = digits.predict(digits.fit(images, labels, gamma=0.1, alpha=0.1), images)

    devices: list[str] = []

    def on_device(function: Any) -> Any:
        def call(*values: Any, device: str, dtype: Any) -> Any:
            devices.append(device)
            return function(*values, dtype=dtype)

        return call

    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: True),
        float64=np.float64,
        asarray=on_device(np.asarray),
        eye=on_device(np.eye),
        exp=np.exp,
        linalg=np.linalg,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    on_gpu = digits.predict(digits.fit(images, labels, gamma=0.1, alpha=0.1), images)

    assert set(devices) == {"cuda"}
    assert on_gpu.tolist() == on_cpu.tolist()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "backend", ["batch", "sagemaker", {"training": "sagemaker", "*": "batch"}], ids=str
)
def test_aws_jobs_produce_the_same_metrics_and_picture_as_a_local_run(
    demo: Demo,
    project: Path,
    emulator_settings: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    backend: str | Mapping[str, str],
) -> None:
    for name, value in emulator_settings.items():
        monkeypatch.setenv(name, value)
    # Without the cache, as all backends share one store.
    on_aws = load_pipeline(FILE).run(backend=backend, progress=False, cache=False)
    assert on_aws.success, on_aws.summary()
    assert [view.job.name for view in on_aws.status.jobs] == ["prepare", "training", "evaluate"]

    local = demo_run(demo, monkeypatch).outputs
    assert on_aws["metrics"] == local["metrics"]
    assert on_aws["confusion_matrix"].read_bytes() == local["confusion_matrix"].read_bytes()
