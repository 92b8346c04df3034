"""An emulated AWS account in this process, for testing pipelines without a real one.

`Emulator` serves S3, Batch, SageMaker training jobs, CloudWatch Logs, IAM and EC2 on a local port.
It really runs the jobs, as processes on this machine:

    from flowyml_aws.testing import Emulator

    with Emulator() as aws:
        aws.client("batch").submit_job(...)

In pytest it is available as the fixture `aws_emulator`. It needs the extra `flowyml-aws[testing]`.
The submodules are imported lazily, on first use of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowyml_aws.core.errors import MissingExtraError

if TYPE_CHECKING:
    from flowyml_aws.testing.calls import ApiCall
    from flowyml_aws.testing.capacity import Capacity
    from flowyml_aws.testing.emulator import Emulator
    from flowyml_aws.testing.faults import Faults
    from flowyml_aws.testing.foreground import serve

__all__ = ["ApiCall", "Capacity", "Emulator", "Faults", "serve"]

_MODULES = {
    "ApiCall": "calls",
    "Capacity": "capacity",
    "Emulator": "emulator",
    "Faults": "faults",
    "serve": "foreground",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "flowyml_aws":
            raise
        raise MissingExtraError(
            what=f"Cannot import flowyml_aws.testing.{name}",
            why=f"the module {error.name!r} is not installed",
            fix="pip install 'flowyml-aws[testing]'",
        ) from error
    return getattr(module, name)
