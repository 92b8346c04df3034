"""The tag of an image identifies its contents."""

from __future__ import annotations

import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.images.base_images import BASE_IMAGES
from flowyml_aws.images.client_package import ClientPackage, client_package
from flowyml_aws.images.recipe import ImageRecipe, project_recipe
from flowyml_aws.settings.model import Settings

pytestmark = pytest.mark.version_sensitive

DOCKERFILES = Path(__file__).parents[2] / "container"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def recipe(project: Path, settings: Settings | None = None) -> ImageRecipe:
    return project_recipe(project, settings or Settings())


def test_the_tag_does_not_depend_on_the_path_of_the_project(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "requirements.txt").write_text("numpy\n")
    assert recipe(tmp_path / "here").tag == recipe(tmp_path / "there").tag


def test_the_code_of_the_project_does_not_change_the_tag(tmp_path: Path) -> None:
    before = recipe(tmp_path).tag
    (tmp_path / "train.py").write_text("print()\n")
    assert recipe(tmp_path).tag == before


def test_every_input_of_the_image_changes_the_tag(tmp_path: Path) -> None:
    first = recipe(tmp_path)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    with_numpy = recipe(tmp_path)
    (tmp_path / "company.pem").write_text(CERTIFICATE)
    (tmp_path / "pins.txt").write_text("numpy==2\n")
    (tmp_path / "requirements.txt").write_text("numpy\n-c pins.txt\n")
    recipes = [
        first,
        with_numpy,
        recipe(tmp_path),
        recipe(tmp_path, Settings(base_image="example/base:1")),
        recipe(tmp_path, Settings(base_image="gpu")),
        recipe(tmp_path, Settings(requirements=("numpy",))),
        recipe(tmp_path, Settings(ca_certificates="company.pem")),
        replace(first, scripts={**first.scripts, "layers.py": "# more"}),
        replace(first, dockerfile=f"{first.dockerfile}\n# more"),
        replace(first, package=ClientPackage("0.0.1")),
        replace(first, package=ClientPackage("0.0.2")),
    ]
    assert len({each.tag for each in recipes}) == len(recipes)


def test_the_tag_is_valid_and_begins_with_the_python_version(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    prefix, _, digest = recipe(tmp_path).tag.rpartition("-")
    assert prefix == f"py{version}"
    assert len(digest) == 16 and digest.isalnum()


def test_an_image_without_the_requirements_that_jobs_install_contains_uv(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("torch\n")
    settings = Settings(requirements=("numpy",))
    assert [line[:2] for line in recipe(tmp_path, settings).requirements.lines] == ["uv"]
    first, second = recipe(tmp_path, settings), recipe(tmp_path, Settings(requirements=("scipy",)))
    assert first.tag == second.tag


def test_the_context_contains_all_files_that_the_dockerfile_copies(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")
    folder = tmp_path / "context"
    folder.mkdir()
    replace(recipe(tmp_path), package=ClientPackage("1.2.3")).write_context(folder)
    assert (folder / "context/requirements.txt").read_text() == "numpy\n"
    assert (folder / "context/constraints.txt").read_text() == ""
    package, gpu_metrics = (folder / "context/flowyml-aws.txt").read_text().splitlines()
    assert (package, gpu_metrics.partition(">")[0]) == ("flowyml-aws==1.2.3", "nvidia-ml-py")
    assert (folder / "context/ca-certificates.pem").read_text() == ""
    for name in ("layers.py", "trust.sh"):
        assert (folder / "context" / name).read_text() == (DOCKERFILES / name).read_text()
    assert (folder / "Dockerfile").read_text() == (DOCKERFILES / "Dockerfile").read_text()


def test_an_image_with_a_certificate_of_the_company_uses_it_in_every_program(
    tmp_path: Path,
) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/company.pem").write_text(f"Company CA\n{CERTIFICATE}\n{CERTIFICATE}")
    folder = tmp_path / "context"
    folder.mkdir()
    settings = Settings(ca_certificates="certs/company.pem")
    replace(recipe(tmp_path, settings), package=ClientPackage("1")).write_context(folder)
    assert (folder / "context/ca-certificates.pem").read_text() == CERTIFICATE * 2
    assert recipe(tmp_path, settings).certificate_count == 2
    lines = (folder / "Dockerfile").read_text().splitlines()
    variables = [line.split() for line in lines if line.startswith("ENV SSL_CERT_FILE=")]
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "PIP_CERT")
    assert variables == [["ENV", *(f"{name}={bundle}" for name in names)]] * 2  # in both stages


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("", "it contains no certificate"),
        (f"{CERTIFICATE}-----BEGIN EC " + "PRIVATE KEY-----\n", "it contains a private key"),
    ],
)
def test_a_file_without_certificates_or_with_a_private_key_is_refused(
    text: str | None, why: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "company.pem").write_text(text)
    with pytest.raises(SettingsError) as caught:
        recipe(tmp_path, Settings(ca_certificates="company.pem"))
    assert caught.value.what == f"Can't use the certificates in {tmp_path / 'company.pem'}"
    assert why in caught.value.why
    assert "MIIB" not in str(caught.value)


def test_the_base_images_are_tags_that_get_security_fixes(tmp_path: Path) -> None:
    # Python's images are rebuilt for the newest release of a minor version only.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert recipe(tmp_path).base == f"docker.io/library/python:{version}-slim-trixie"
    names = ("Dockerfile", "Dockerfile.gpu")
    defaults = [
        line.partition("=")[2]
        for name in names
        for line in (DOCKERFILES / name).read_text().splitlines()
        if line.startswith(("ARG BASE_IMAGE=", "ARG PYTHON_IMAGE="))
    ]
    assert len(defaults) == 3 and set(defaults) <= set(BASE_IMAGES)
    assert all("apt-get upgrade" in (DOCKERFILES / name).read_text() for name in names)


def test_the_image_for_gpus_has_a_cuda_for_blackwell_that_older_drivers_run(
    tmp_path: Path,
) -> None:
    # sm_100 and sm_120 need CUDA 12.8, sm_103 needs 12.9; CUDA 13 needs a driver >= 580.
    base = recipe(tmp_path, Settings(base_image="gpu")).base
    match = re.fullmatch(r"docker.io/nvidia/cuda:(\d+)\.(\d+)\.\d+-runtime-ubuntu24.04", base)
    assert match is not None
    assert (12, 9) <= (int(match[1]), int(match[2])) < (13, 0)


def test_the_wheel_that_the_client_was_installed_from_is_copied_to_the_context(
    tmp_path: Path,
) -> None:
    wheel = tmp_path / "flowyml_aws-1.2.3-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    folder = tmp_path / "context"
    folder.mkdir()
    package = ClientPackage("1.2.3", "digest", wheel)
    assert package.requirement(folder) == "./flowyml_aws-1.2.3-py3-none-any.whl"
    assert (folder / wheel.name).read_bytes() == b"wheel"


def test_a_development_install_is_identified_by_its_source(tmp_path: Path) -> None:
    package = client_package()
    assert package.source == DOCKERFILES.parent
    assert package.sha256 is not None


@pytest.mark.contract
@pytest.mark.parametrize("missing", ["uv", "pip"])
def test_a_development_install_is_built_as_a_wheel_by_uv_or_pip(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "uv":
        pytest.importorskip("pip", reason="pip is not installed: uv created this environment")
    monkeypatch.setitem(sys.modules, missing, None)
    requirement = client_package().requirement(tmp_path)
    # Its version counts the commits until now, and that of the environment those until its setup.
    (wheel,) = tmp_path.glob("flowyml_aws-*-py3-none-any.whl")
    assert requirement == f"./{wheel.name}"
    assert zipfile.is_zipfile(tmp_path / requirement)


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_both_dockerfiles_share_the_build_stage_and_declare_the_runners_user(
    name: str,
) -> None:
    lines = (DOCKERFILES / name).read_text("utf-8").splitlines()
    assert lines[-1] == 'CMD ["python", "-m", "flowyml_aws.job"]'
    # SageMaker creates its folders for root, so the runner drops root itself elsewhere.
    assert not any(line.startswith("USER") for line in lines)
    assert "ENV FLOWYML_USER=10001 \\" in lines
    assert not any(line.startswith("ENTRYPOINT") for line in lines)
    first, other = ((DOCKERFILES / n).read_text() for n in ("Dockerfile", "Dockerfile.gpu"))
    assert _build_stage(first) == _build_stage(other)


def _build_stage(text: str) -> str:
    # Without the FROM line, because the base images differ.
    return text.partition(" AS build\n")[2].partition("\nFROM ")[0]
