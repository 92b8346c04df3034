from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from flowyml_aws.core.errors import SettingsError
from flowyml_aws.packaging.files import project_files

pytestmark = pytest.mark.contract


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    allowed = ("-c", "protocol.file.allow=always")
    subprocess.run(
        ["git", *identity, *allowed, *arguments], cwd=folder, check=True, capture_output=True
    )


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def names(root: Path, *include: str) -> list[str]:
    return list(project_files(root, include).paths)


def test_files_that_git_tracks_or_would_track_are_packed(repository: Path) -> None:
    fill(repository, "tracked.py", "untracked.py", "ignored.bin", "out/deep.txt", ".gitignore")
    (repository / ".gitignore").write_text("*.bin\nout/\n")
    git(repository, "add", "tracked.py")
    assert names(repository) == [".gitignore", "tracked.py", "untracked.py"]


def test_a_tracked_file_is_packed_even_if_a_pattern_ignores_it(repository: Path) -> None:
    fill(repository, "kept.bin")
    git(repository, "add", "kept.bin")
    (repository / ".gitignore").write_text("*.bin\n")
    assert "kept.bin" in names(repository)


def test_a_changed_file_is_packed_as_it_is_now_and_a_deleted_file_is_not(repository: Path) -> None:
    fill(repository, "changed.py", "deleted.py")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    (repository / "changed.py").write_text("now")
    (repository / "deleted.py").unlink()
    files = project_files(repository).paths
    assert list(files) == ["changed.py"]
    assert files["changed.py"].read_text() == "now"


def test_names_are_sorted(repository: Path) -> None:
    fill(repository, "b.py", "a/z.py", "B.py", "a.py")
    assert names(repository) == sorted(["b.py", "a/z.py", "B.py", "a.py"])


def test_a_project_below_the_repositorys_root_uses_git_too(repository: Path) -> None:
    fill(repository, "other/a.py", "project/b.py", "project/ignored.bin", ".gitignore")
    (repository / ".gitignore").write_text("*.bin\n")
    assert names(repository / "project") == ["b.py"]


def test_a_project_that_an_outer_repository_ignores_is_packed_completely(repository: Path) -> None:
    fill(repository, "scratch/project/a.py", "scratch/project/__pycache__/a.pyc")
    (repository / ".gitignore").write_text("scratch/\n")
    assert names(repository / "scratch/project") == ["a.py"]


def test_without_git_all_files_except_caches_and_environments_are_packed(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "a.py",
        "pkg/b.py",
        "pkg/__pycache__/b.pyc",
        ".venv/lib/c.py",
        ".flowyml/runs/r",
        ".mypy_cache/d",
        "node_modules/e.js",
        "data/f.csv",
    )
    assert names(tmp_path) == ["a.py", "data/f.csv", "pkg/b.py"]


@pytest.mark.parametrize("in_git", [True, False])
def test_flowymlignore_excludes_files(repository: Path, tmp_path: Path, in_git: bool) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "a.py", "data/big.csv", "data/small.csv", "notes.md", "deep/notes.md")
    (root / ".flowymlignore").write_text("# data\ndata/*\n!data/small.csv\n/notes.md\n")
    assert names(root) == [".flowymlignore", "a.py", "data/small.csv", "deep/notes.md"]


def test_include_adds_files_that_git_ignores(repository: Path) -> None:
    fill(repository, "a.py", "built/x.py", "built/__pycache__/x.pyc", "one.bin", ".gitignore")
    (repository / ".gitignore").write_text("built/\n*.bin\n")
    assert names(repository, "built", "one.bin") == [".gitignore", "a.py", "built/x.py", "one.bin"]


def test_include_overrides_flowymlignore(repository: Path) -> None:
    fill(repository, "a.py", "data/x.csv")
    (repository / ".flowymlignore").write_text("data/\n")
    assert "data/x.csv" in names(repository, "data")


def test_include_adds_an_outside_folder_under_its_base_name(
    repository: Path, tmp_path: Path
) -> None:
    fill(tmp_path / "elsewhere/library", "__init__.py", "deep/x.py", "__pycache__/x.pyc")
    fill(repository, "a.py")
    files = project_files(repository, [str(tmp_path / "elsewhere/library")]).paths
    assert list(files) == ["a.py", "library/__init__.py", "library/deep/x.py"]
    assert files["library/deep/x.py"].read_text() == "deep/x.py"


def test_include_adds_an_outside_file_at_the_top_level(repository: Path, tmp_path: Path) -> None:
    fill(tmp_path, "elsewhere/single.py")
    assert names(repository, "../elsewhere/single.py") == ["single.py"]


def test_an_include_that_does_not_exist_is_named(repository: Path) -> None:
    with pytest.raises(SettingsError, match=r"include='missing' does not exist"):
        project_files(repository, ["missing"])


def test_a_link_to_a_file_is_replaced_by_its_target(repository: Path, tmp_path: Path) -> None:
    fill(tmp_path, "outside.txt")
    fill(repository, "real.py")
    (repository / "inside_link.py").symlink_to("real.py")
    (repository / "outside_link.txt").symlink_to(tmp_path / "outside.txt")
    (repository / "broken").symlink_to("nowhere")
    files = project_files(repository).paths
    assert {name: path.read_text() for name, path in files.items()} == {
        "inside_link.py": "real.py",
        "outside_link.txt": "outside.txt",
        "real.py": "real.py",
    }


@pytest.mark.parametrize("in_git", [True, False])
def test_a_link_to_a_folder_is_replaced_by_its_target(
    repository: Path, tmp_path: Path, in_git: bool
) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "real/x.py", "real/deep/y.py")
    fill(tmp_path / "outside", "z.py", "__pycache__/z.pyc")
    (root / "alias").symlink_to("real")
    (root / "linked").symlink_to(tmp_path / "outside")
    assert names(root) == [
        "alias/deep/y.py",
        "alias/x.py",
        "linked/z.py",
        "real/deep/y.py",
        "real/x.py",
    ]


@pytest.mark.parametrize("in_git", [True, False])
def test_cyclic_links_are_ignored(repository: Path, tmp_path: Path, in_git: bool) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "pkg/x.py")
    (root / "pkg/up").symlink_to("..")
    (root / "pkg/self").symlink_to("self")
    (root / "above").symlink_to("../..")
    assert names(root) == ["pkg/x.py"]


def test_a_submodule_is_packed(repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    fill(library, "lib.py")
    git(library, "init", "-q")
    git(library, "add", ".")
    git(library, "commit", "-qm", "first")
    fill(repository, "a.py")
    git(repository, "submodule", "add", "-q", str(library), "vendor/library")
    (repository / "vendor/library/untracked.py").touch()
    assert names(repository) == [
        ".gitmodules",
        "a.py",
        "vendor/library/lib.py",
        "vendor/library/untracked.py",
    ]


def test_a_nested_repository_is_packed(repository: Path) -> None:
    fill(repository, "a.py", "nested/b.py", "nested/ignored.bin", "nested/.gitignore")
    (repository / "nested/.gitignore").write_text("*.bin\n")
    git(repository / "nested", "init", "-q")
    assert names(repository) == ["a.py", "nested/.gitignore", "nested/b.py"]


def test_the_environment_of_a_git_hook_is_ignored(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    fill(other, "other.py")
    git(other, "init", "-q")
    fill(repository, "mine.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert names(repository) == ["mine.py"]


def test_a_repository_that_git_cannot_read_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, "a.py", ".git/HEAD")
    with pytest.raises(SettingsError, match="git can't list the files"):
        project_files(tmp_path)


def test_a_repository_without_an_installed_git_is_an_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SettingsError, match="install git"):
        project_files(repository)


SECRETS = [
    ".env",
    "config/.env.production",
    "prod.env",
    "credentials",
    "credentials.json",
    "secrets.toml",
    "deploy/id_rsa",
    "id_ed25519",
    ".netrc",
    ".pypirc",
    "cert.p12",
    ".aws/config",
    ".ssh/known_hosts",
]
OUTPUTS = [
    "mlruns/0/meta.yaml",
    "wandb/run/log",
    "lightning_logs/v0/hparams.yaml",
    ".dvc/cache/ab/cd",
    "build/lib/a.py",
    "dist/a.whl",
    "a.egg-info/PKG-INFO",
]


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("name", SECRETS + OUTPUTS)
def test_untracked_secrets_and_outputs_are_left_out_and_reported(
    repository: Path, tmp_path: Path, in_git: bool, name: str
) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "a.py", name)
    files = project_files(root)
    assert list(files.paths) == ["a.py"]
    (excluded,) = files.excluded
    assert name.startswith(excluded.path)


@pytest.mark.parametrize("in_git", [True, False])
def test_a_file_that_contains_a_private_key_is_left_out(
    repository: Path, tmp_path: Path, in_git: bool
) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "a.py", "server.pem", "public.pem")
    (root / "server.pem").write_text("-----BEGIN RSA PRIVATE" + " KEY-----\n")
    files = project_files(root)
    assert list(files.paths) == ["a.py", "public.pem"]
    assert [(e.path, e.reason) for e in files.excluded] == [("server.pem", "private key")]


@pytest.mark.parametrize("in_git", [True, False])
@pytest.mark.parametrize("marker", ["pyvenv.cfg", "conda-meta/history"])
def test_a_virtual_environment_of_any_name_is_left_out(
    repository: Path, tmp_path: Path, in_git: bool, marker: str
) -> None:
    root = repository if in_git else tmp_path / "plain"
    fill(root, "a.py", f"tools/myenv/{marker}", "tools/myenv/lib/python3/site.py", "tools/b.py")
    files = project_files(root)
    assert list(files.paths) == ["a.py", "tools/b.py"]
    (excluded,) = files.excluded
    assert (excluded.path, excluded.reason) == ("tools/myenv/", "virtual environment")


def test_code_and_templates_with_such_names_are_packed(repository: Path) -> None:
    fill(repository, "secrets.py", "credentials.py", ".env.example", "build/__init__.py")
    assert names(repository) == [
        ".env.example",
        "build/__init__.py",
        "credentials.py",
        "secrets.py",
    ]
    assert project_files(repository).excluded == ()


def test_tracked_files_are_packed_whatever_their_names(repository: Path) -> None:
    fill(repository, ".env", "build/x.txt")
    git(repository, "add", "-f", ".env", "build/x.txt")
    assert names(repository) == [".env", "build/x.txt"]
    assert project_files(repository).excluded == ()


def test_include_adds_what_is_left_out_and_it_is_not_reported(repository: Path) -> None:
    fill(repository, "a.py", ".env", "mlruns/0/meta.yaml")
    files = project_files(repository, [".env", "mlruns"])
    assert list(files.paths) == [".env", "a.py", "mlruns/0/meta.yaml"]
    assert files.excluded == ()


def test_an_included_folder_still_leaves_its_secrets_out(repository: Path) -> None:
    fill(repository, "a.py", "data/x.csv", "data/.env", ".gitignore")
    (repository / ".gitignore").write_text("data/\n")
    assert names(repository, "data") == [".gitignore", "a.py", "data/x.csv"]


def test_ignored_files_and_caches_are_not_reported(repository: Path) -> None:
    fill(repository, "a.py", "__pycache__/a.pyc", ".env", "wandb/x", ".flowymlignore")
    (repository / ".gitignore").write_text(".env\n")
    (repository / ".flowymlignore").write_text("wandb/\n")
    assert project_files(repository).excluded == ()


def test_data_is_left_out_except_modules_that_the_program_imports(tmp_path: Path) -> None:
    fill(tmp_path, "flow.py", "data/a.csv", "data/loader.py", "database/b.csv")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    files = project_files(tmp_path).without([tmp_path / "data"], [tmp_path / "data" / "loader.py"])
    assert list(files.paths) == ["data/loader.py", "database/b.csv", "flow.py", "link/loader.py"]
