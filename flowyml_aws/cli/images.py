"""Commands for the container image of a project."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from flowyml_aws.aws.registry import StoredImage, log_in
from flowyml_aws.cli.app import AsJson, app
from flowyml_aws.cli.facts import print_json
from flowyml_aws.core.errors import FlowymlError, MissingEngineError, SettingsError
from flowyml_aws.images.engine import Engine, find_engine
from flowyml_aws.images.project import ProjectImage, project_image
from flowyml_aws.packaging.project import find_project
from flowyml_aws.services.account import Account
from flowyml_aws.services.connect import account_settings

__all__ = ["build", "push", "show"]

image = typer.Typer(help="The container image that jobs run in.", no_args_is_help=True)
app.add_typer(image, name="image")


@image.command()
def show(as_json: AsJson = False) -> None:
    """Show what the project's image is made of, and where it is already."""
    account = _account()
    own = _own_image(account)
    facts = _facts(own) | {
        "on_this_machine": _is_here(own),
        "repository": _stored_facts(account.images.stored()),
        "used": account.settings.image or own.uri,
    }
    if as_json:
        print_json(facts)
        return
    print(own.uri)
    for name, told in _description(own).items():
        print(f"  {name:<13} {told}")
    print(f"  {'here':<13} {_told_here(facts['on_this_machine'])}")
    print(f"  {'in ECR':<13} {_told_there(own, facts['repository'])}")
    if account.settings.image:
        print(f"  jobs run in {account.settings.image} instead, which the setting `image` names")


@image.command()
def build(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the project's image on this machine, unless it is there."""
    own = _own_image(_account())
    if dry_run:
        is_here = _is_here(own)
        _tell(own, as_json, "is here already" if is_here else "would be built", built=False)
        return
    built = own.build(find_engine(), _pip_conf())
    _tell(own, as_json, "was built" if built else "is here already", built=built)


@image.command()
def push(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send the project's image to the repository, built if need be, unless it is there."""
    account = _account()
    own = _own_image(account)
    if own.repository is None:
        raise SettingsError(
            what="There is no repository to push the image to",
            why="the setting `repository` is not set, nor does an account tell it",
            fix="set FLOWYML_AWS_ACCOUNT to an account that infra/ has set up, or `repository` to "
            "the URI of a repository in ECR",
        )
    stored = account.images.stored()
    if stored is not None or dry_run:
        told = "is in the repository already" if stored else "would be pushed"
        _tell(own, as_json, told, built=False, pushed=False, stored=stored)
        return
    engine = find_engine()
    built = own.build(engine, _pip_conf())
    login = log_in(account.images.ecr(own.repository.region), own.repository)
    print(f"pushing {own.uri}", file=sys.stderr)
    try:
        engine.push(own.uri, own.repository.host, login.user, login.password)
    except FlowymlError:
        # Tags can't be moved: who was faster has pushed the same.
        if account.images.stored() is None:
            raise
    _tell(own, as_json, "was pushed", built=built, pushed=True, stored=account.images.stored())


def _account() -> Account:
    project = find_project([]).root
    settings = account_settings(project)
    return Account(settings, project, settings.image)


def _own_image(account: Account) -> ProjectImage:
    assert account.project is not None
    return account.images.project_image or project_image(account.project, account.settings)


def _is_here(own: ProjectImage) -> bool | None:
    """Whether the image is on this machine; None where nobody can tell."""
    try:
        engine: Engine = find_engine()
    except MissingEngineError:
        return None
    return engine.has(own.uri)


def _pip_conf() -> Path | None:
    named = os.environ.get("PIP_CONFIG_FILE")
    if not named or named == os.devnull:
        return None
    file = Path(named)
    if not file.is_file():
        raise SettingsError(
            what=f"PIP_CONFIG_FILE names {named}",
            why="there is no such file, and the build would go without it",
            fix="correct or unset it",
        )
    return file.resolve()


def _tell(own: ProjectImage, as_json: bool, told: str, **facts: Any) -> None:
    stored = facts.pop("stored", None)
    if as_json:
        print_json(_facts(own) | facts | {"repository": _stored_facts(stored)})
    else:
        print(f"{own.uri} {told}")


def _facts(own: ProjectImage) -> dict[str, Any]:
    recipe = own.recipe
    return {
        "image": own.uri,
        "tag": recipe.tag,
        "python": recipe.python,
        "flowyml_aws": recipe.package.version,
        "flowyml_aws_from": str(recipe.package.source) if recipe.package.source else None,
        "arguments": dict(recipe.arguments),
        "requirements": list(recipe.requirements.lines),
        "constraints": list(recipe.requirements.constraints),
        "requirements_from": recipe.requirements.source,
    }


def _description(own: ProjectImage) -> dict[str, str]:
    recipe = own.recipe
    source = f" (built from {recipe.package.source})" if recipe.package.source else ""
    lines = f": {', '.join(recipe.requirements.lines)}" if recipe.requirements.lines else ""
    return {
        "python": recipe.python,
        "flowyml-aws": f"{recipe.package.version}{source}",
        "base": recipe.base,
        "requirements": f"{recipe.requirements.source}{lines}",
    }


def _stored_facts(stored: StoredImage | None) -> dict[str, Any] | None:
    if stored is None:
        return None
    return {
        "digest": stored.digest,
        "size_bytes": stored.size_bytes,
        "pushed_at": stored.pushed_at,
    }


def _told_here(is_here: bool | None) -> str:
    if is_here is None:
        return "unknown: neither Docker nor podman works on this machine"
    return "yes" if is_here else "no: `flowyml-aws image build`"


def _told_there(own: ProjectImage, stored: dict[str, Any] | None) -> str:
    if own.repository is None:
        return "no repository is set up (setting `repository`)"
    if stored is None:
        return "no: `flowyml-aws image push`"
    size = stored["size_bytes"]
    return f"yes, {stored['digest']}" + (f", {decimal(size)}" if size else "")
