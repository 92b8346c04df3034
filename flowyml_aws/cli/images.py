"""Commands for the container image of a project."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from flowyml_aws.aws.registry import Repository, StoredImage, log_in
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core.errors import FlowymlError, MissingEngineError, SettingsError
from flowyml_aws.core.visible import visible
from flowyml_aws.images.engine import Engine, find_engine
from flowyml_aws.images.project import ProjectImage, project_image
from flowyml_aws.images.remote import build_price
from flowyml_aws.images.remote_build import failure
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import account_settings
from flowyml_aws.services.image_builds import remote_builder

__all__ = ["build", "push", "show"]

_ALREADY_BUILT = "already exists on this machine"
_ALREADY_PUSHED = "already exists in the repository"
_BUILD_FACTS = {"built": False, "pushed": False, "build": None, "cost_usd": None}

image_commands = typer.Typer(help="The container image of the jobs.", no_args_is_help=True)
app.add_typer(image_commands, name="image")


@image_commands.command()
def show(as_json: AsJson = False) -> None:
    """Show the content of the project's image, and whether it is built and pushed."""
    account = _account()
    image = _project_image(account)
    is_built, local_name = _on_this_machine(image)
    facts = _facts(image) | {
        "on_this_machine": is_built,
        "repository": _stored_facts(account.images.stored()),
        "used": account.settings.image or image.uri,
    }
    if as_json:
        print_json(facts)
        return
    print(image.uri)
    for name, value in _description(image).items():
        print(f"  {name:<13} {value}")
    print(f"  {'built':<13} {_built_text(image, is_built, local_name)}")
    print(f"  {'in ECR':<13} {_pushed_text(image, facts['repository'])}")
    if account.settings.image:
        print(f"  jobs use {account.settings.image} instead, from the setting `image`")


@image_commands.command()
def build(
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            help="Let AWS CodeBuild build the image and push it, which needs no Docker here and "
            "costs money. Not yet run on AWS.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be built.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the project's image on this machine, unless it already exists."""
    account = _account()
    image = _project_image(account)
    if remote:
        _build_remotely(account, image, dry_run, as_json)
        return
    if dry_run:
        outcome = _ALREADY_BUILT if _on_this_machine(image)[0] else "would be built"
        _print_outcome(image, as_json, outcome, built=False)
        return
    built = image.build(_engine(), _pip_conf())
    _print_outcome(image, as_json, "was built" if built else _ALREADY_BUILT, built=built)


@image_commands.command()
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be pushed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push the project's image to its repository, unless it already exists; build it if needed."""
    account = _account()
    image = _project_image(account)
    repository = _repository(image)
    stored = account.images.stored()
    if stored is not None or dry_run:
        outcome = _ALREADY_PUSHED if stored else "would be pushed"
        _print_outcome(image, as_json, outcome, built=False, pushed=False, stored=stored)
        return
    engine = _engine()
    # Before the build, which takes minutes, and is in vain without a login.
    login = log_in(account.images.ecr(repository.region), repository)
    built = image.build(engine, _pip_conf())
    print(f"pushing {image.uri}", file=sys.stderr)
    try:
        engine.push(image.uri, login.registry, login.token)
    except FlowymlError:
        # Tags are immutable: another client that was faster has pushed the same content.
        if account.images.stored() is None:
            raise
    stored = _checked(account, image)
    _print_outcome(image, as_json, "was pushed", built=built, pushed=True, stored=stored)


def _build_remotely(account: Account, image: ProjectImage, dry_run: bool, as_json: bool) -> None:
    """Let CodeBuild build the image and push it, unless it is in the repository."""
    _repository(image)
    builder = remote_builder(
        account, lambda line: print(visible(line), file=sys.stderr, flush=True)
    )
    price = build_price()
    stored = account.images.stored()
    if stored is not None:
        _print_outcome(image, as_json, _ALREADY_PUSHED, **_BUILD_FACTS, stored=stored)
        return
    if _pip_conf() is not None:
        raise SettingsError(
            what="CodeBuild can't use the pip.conf that PIP_CONFIG_FILE names",
            why="it may contain passwords, and nothing secret is uploaded",
            fix="unset PIP_CONFIG_FILE if the image does not need it; otherwise run `flowyml-aws "
            "image push` on a machine with Docker or podman",
        )
    if dry_run:
        _print_outcome(
            image,
            as_json,
            f"would be built by CodeBuild, for {price}",
            **_BUILD_FACTS,
            price_usd_minute=price.usd_minute,
            max_cost_usd=price.max_usd,
        )
        return
    print(f"building {image.uri} with CodeBuild costs {price}", file=sys.stderr)
    build = builder.build(image)
    cost_usd = None if build.duration_s is None else price.of(build.duration_s)
    if cost_usd is not None:
        print(f"the build took {build.duration_s:.0f} s, about ${cost_usd:.2f}", file=sys.stderr)
    stored = _checked(account, image)
    # Tags are immutable: another client that was faster has pushed the same content.
    if stored is None:
        raise failure(image, build)
    facts = {"built": build.has_succeeded, "pushed": build.has_succeeded, "build": build.id}
    outcome = "was built and pushed by CodeBuild" if build.has_succeeded else _ALREADY_PUSHED
    _print_outcome(image, as_json, outcome, **facts, cost_usd=cost_usd, stored=stored)


def _repository(image: ProjectImage) -> Repository:
    if image.repository is None:
        raise SettingsError(
            what="No repository to push the image to",
            why="the setting `repository` is not set, and no account provides it",
            fix="set FLOWYML_AWS_ACCOUNT to an account that infra/ has set up, or `repository` to "
            "the URI of a repository in ECR",
        )
    return image.repository


def _engine() -> Engine:
    """Return this machine's engine.

    Raises:
        MissingEngineError: No engine works; the error also names the way without one.
    """
    try:
        return find_engine()
    except MissingEngineError as error:
        raise MissingEngineError(
            error.what,
            error.why,
            f"{error.fix}; or let AWS build the image: `flowyml-aws image build --remote`",
        ) from error


def _checked(account: Account, image: ProjectImage) -> StoredImage | None:
    """Return the image in the repository, with a warning if SageMaker can't use it."""
    stored = account.images.stored()
    if stored is not None and not stored.has_docker_manifest:
        print(f"warning: {image.wrong_manifest(stored)}", file=sys.stderr)
    return stored


def _account() -> Account:
    project = find_project([]).root
    settings = account_settings(project)
    return Account(settings, project, settings.image)


def _project_image(account: Account) -> ProjectImage:
    assert account.project is not None
    return account.images.project_image or project_image(account.project, account.settings)


def _on_this_machine(image: ProjectImage) -> tuple[bool | None, str | None]:
    """Return whether the image exists on this machine, None if unknown; and its name there."""
    try:
        engine: Engine = find_engine()
    except MissingEngineError:
        return None, None
    name = image.name_on(engine)
    return name is not None, name


def _pip_conf() -> Path | None:
    path = os.environ.get("PIP_CONFIG_FILE")
    if not path or path == os.devnull:
        return None
    file = Path(path)
    if not file.is_file():
        raise SettingsError(
            what=f"File not found: {path}",
            why="PIP_CONFIG_FILE names it, and the build would ignore it",
            fix="correct or unset PIP_CONFIG_FILE",
        )
    return file.resolve()


def _print_outcome(image: ProjectImage, as_json: bool, outcome: str, **facts: Any) -> None:
    stored = facts.pop("stored", None)
    if as_json:
        print_json(_facts(image) | facts | {"repository": _stored_facts(stored)})
    else:
        print(f"{image.uri} {outcome}")


def _facts(image: ProjectImage) -> dict[str, Any]:
    recipe = image.recipe
    return {
        "image": image.uri,
        "tag": recipe.tag,
        "python": recipe.python,
        "flowyml_aws": recipe.package.version,
        "flowyml_aws_from": str(recipe.package.source) if recipe.package.source else None,
        "arguments": dict(recipe.arguments),
        "requirements": list(recipe.requirements.lines),
        "constraints": list(recipe.requirements.constraints),
        "requirements_from": recipe.requirements.source,
        "certificates": recipe.certificate_count,
    }


def _description(image: ProjectImage) -> dict[str, str]:
    recipe = image.recipe
    source = f" (built from {recipe.package.source})" if recipe.package.source else ""
    lines = f": {', '.join(recipe.requirements.lines)}" if recipe.requirements.lines else ""
    rows = {
        "python": recipe.python,
        "flowyml-aws": f"{recipe.package.version}{source}",
        "base": recipe.base,
        "requirements": f"{recipe.requirements.source}{lines}",
    }
    if recipe.certificate_count:
        rows["certificates"] = f"{recipe.certificate_count} more than in the base image"
    return rows


def _stored_facts(stored: StoredImage | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    return {
        "digest": stored.digest,
        "size_bytes": stored.size_bytes,
        "pushed_at": stored.pushed_at,
        "media_type": stored.media_type,
    }


def _built_text(image: ProjectImage, is_built: bool | None, name: str | None) -> str:
    if is_built is None:
        return "unknown: neither Docker nor podman works on this machine"
    if not is_built:
        return "no: run `flowyml-aws image build`"
    return "yes" if name == image.uri else f"yes, as {name}"


def _pushed_text(image: ProjectImage, stored: dict[str, Any] | None) -> str:
    if image.repository is None:
        return "no repository is set up (setting `repository`)"
    if stored is None:
        return "no: run `flowyml-aws image push`"
    size = stored["size_bytes"]
    return f"yes, {stored['digest']}" + (f", {decimal(size)}" if size else "")
