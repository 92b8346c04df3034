"""Families of instances as `infra/` names them, and the option that enables one in an account."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.planning.catalog import InstanceType

__all__ = ["FAMILIES", "AccountFamily", "account_family"]


@dataclass(frozen=True, slots=True)
class AccountFamily:
    """A family that `infra/` can enable; a copy of its entry in infra/account/families.json.

    Attributes:
        name: Its name in the option `families`.
        instance_families: EC2 families of its instances.
        max_vcpus: Default limit of all instances of a queue together.
        needs_image: Whether it requires a custom image, as Batch has none.
    """

    name: str
    instance_families: tuple[str, ...]
    max_vcpus: int
    needs_image: bool = False

    def lines_for(self, instance: InstanceType) -> tuple[str, str]:
        """Return the lines of the option `families`, for Terraform and CDK, for one type."""
        options: dict[str, str] = {}
        if instance.vcpus > self.max_vcpus:
            options["max_vcpus"] = str(instance.vcpus)
        if self.needs_image:
            options["image_id"] = '"ami-…"'
        terraform = ", ".join(f"{name} = {value}" for name, value in options.items())
        cdk = ", ".join(f'"{name}": {value}' for name, value in options.items())
        return (
            f"{self.name} = {{ {terraform} }}" if options else f"{self.name} = {{}}",
            f'"{self.name}": {{{cdk}}}',
        )


FAMILIES = (
    AccountFamily("cpu", ("c6i", "m6i", "r6i"), 64),
    AccountFamily("t4", ("g4dn",), 16),
    AccountFamily("v100", ("p3dn",), 96, needs_image=True),
    AccountFamily("a10g", ("g5",), 16),
    AccountFamily("l4", ("g6",), 16),
    AccountFamily("l40s", ("g6e",), 16),
    AccountFamily("rtx-pro-4500", ("g7",), 16),
    AccountFamily("rtx-pro-6000", ("g7e",), 16),
    AccountFamily("a100", ("p4d",), 96),
    AccountFamily("a100-80gb", ("p4de",), 96),
    AccountFamily("h100", ("p5",), 16),
    AccountFamily("h200", ("p5en",), 192),
    AccountFamily("b200", ("p6-b200",), 192),
    AccountFamily("b300", ("p6-b300",), 192),
)
_BY_INSTANCE_FAMILY = {name: family for family in FAMILIES for name in family.instance_families}


def account_family(instance: InstanceType) -> AccountFamily | None:
    """Return the family of `infra/` that contains an instance type, or None."""
    return _BY_INSTANCE_FAMILY.get(instance.family)
