"""Families of instances as `infra/` names them, and the option that enables one in an account."""

from __future__ import annotations

from dataclasses import dataclass

from flowyml_aws.catalog.types import InstanceType

__all__ = ["FAMILIES", "AccountFamily", "account_family"]


@dataclass(frozen=True, slots=True)
class AccountFamily:
    """A family that `infra/` can enable; a copy of its entry in infra/account/families.json.

    Attributes:
        name: Its name in the option `families`.
        sizes: Instance types of each compute environment of its queues, in the order in which
            Batch tries them.
        max_vcpus: Default limit of all instances of one environment together.
        needs_image: Whether it requires a custom image, as Batch has none.
    """

    name: str
    sizes: tuple[tuple[str, ...], ...]
    max_vcpus: int
    needs_image: bool = False

    def lines_for(
        self, instance: InstanceType, nodes: int = 1, *, has_efa: bool = False
    ) -> tuple[str, str]:
        """Return the lines of the option `families`, for Terraform and CDK, for one type.

        Args:
            instance: Type that a job needs.
            nodes: Number of instances that it needs at once.
            has_efa: Whether several instances need an Elastic Fabric Adapter each.
        """
        options: dict[str, str] = {}
        if nodes > 1:
            options["capacity"] = '["on-demand", "spot", "nodes"]'
        if nodes > 1 and has_efa:
            options["efa"] = "1"
        if (vcpus := nodes * instance.vcpus) > self.max_vcpus:
            options["max_vcpus"] = str(vcpus)
        if not any(instance.name in types for types in self.sizes):
            options["sizes" if nodes == 1 else "nodes_sizes"] = f'[["{instance.name}"]]'
        if self.needs_image:
            options["image_id"] = '"ami-…"'
        terraform = ", ".join(f"{name} = {value}" for name, value in options.items())
        cdk = ", ".join(f'"{name}": {value}' for name, value in options.items())
        return (
            f"{self.name} = {{ {terraform} }}" if options else f"{self.name} = {{}}",
            f'"{self.name}": {{{cdk}}}',
        )


FAMILIES = (
    AccountFamily(
        "cpu",
        (
            ("c6i.large", "m6i.large", "r6i.large"),
            (
                *("c6i.xlarge", "m6i.xlarge", "r6i.xlarge"),
                *("c6i.2xlarge", "m6i.2xlarge", "r6i.2xlarge"),
            ),
            (
                *("c6i.4xlarge", "m6i.4xlarge", "r6i.4xlarge"),
                *("c6i.8xlarge", "m6i.8xlarge", "r6i.8xlarge"),
            ),
        ),
        64,
    ),
    AccountFamily(
        "t4", (("g4dn.xlarge",), ("g4dn.2xlarge",), ("g4dn.4xlarge", "g4dn.12xlarge")), 16
    ),
    AccountFamily("v100", (("p3dn.24xlarge",),), 96, needs_image=True),
    AccountFamily("a10g", (("g5.xlarge",), ("g5.2xlarge",), ("g5.4xlarge", "g5.12xlarge")), 16),
    AccountFamily("l4", (("g6.xlarge",), ("g6.2xlarge",), ("g6.4xlarge", "g6.12xlarge")), 16),
    AccountFamily("l40s", (("g6e.xlarge",), ("g6e.2xlarge",), ("g6e.4xlarge", "g6e.12xlarge")), 16),
    AccountFamily("rtx-pro-4500", (("g7.2xlarge",), ("g7.4xlarge",), ("g7.12xlarge",)), 16),
    AccountFamily("rtx-pro-6000", (("g7e.2xlarge",), ("g7e.4xlarge",), ("g7e.12xlarge",)), 16),
    AccountFamily("a100", (("p4d.24xlarge",),), 96),
    AccountFamily("a100-80gb", (("p4de.24xlarge",),), 96),
    AccountFamily("h100", (("p5.4xlarge",), ("p5.48xlarge",)), 16),
    AccountFamily("h200", (("p5en.48xlarge",),), 192),
    AccountFamily("b200", (("p6-b200.48xlarge",),), 192),
    AccountFamily("b300", (("p6-b300.48xlarge",),), 192),
)
"""All families, in the order of `infra/account/families.json`. The emulator's account has them."""
_BY_INSTANCE_FAMILY = {
    name.partition(".")[0]: family
    for family in FAMILIES
    for types in family.sizes
    for name in types
}


def account_family(instance: InstanceType) -> AccountFamily | None:
    """Return the family of `infra/` that contains an instance type, or None."""
    return _BY_INSTANCE_FAMILY.get(instance.family)
