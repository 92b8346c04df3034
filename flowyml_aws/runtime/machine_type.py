"""The instance type of the machine that runs the job.

SageMaker writes it to a file. EC2 instances on Nitro have it as the product name in their DMI
tables, which are readable files; older instances and containers elsewhere ask the instance
metadata service. On other machines, the type is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["DMI_FOLDER", "instance_type", "training_instance_type"]

DMI_FOLDER = Path("/sys/devices/virtual/dmi/id")

_ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_ENDPOINT = "http://169.254.169.254"
_TIMEOUT_S = 1.0
_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


def instance_type(environment: Mapping[str, str], dmi: Path = DMI_FOLDER) -> str | None:
    """Return the EC2 type of this machine, or None outside EC2 or if nothing answers.

    Args:
        environment: Environment variables of the job.
        dmi: Folder with the DMI tables of the machine.
    """
    if endpoint := environment.get(_ENDPOINT_VARIABLE):
        return _from_metadata(endpoint)
    if _read(dmi / "sys_vendor") == "Amazon EC2":
        product = _read(dmi / "product_name")
        return product if _TYPE.fullmatch(product) else None
    # Instances on Xen, such as p3.2xlarge, name the hypervisor as their product.
    return _from_metadata(_ENDPOINT) if "amazon" in _read(dmi / "bios_version") else None


def training_instance_type(folder: Path) -> str | None:
    """Return the type of a SageMaker training instance, or None if its file does not contain it.

    Args:
        folder: SageMaker's folder, `/opt/ml`.
    """
    try:
        config = json.loads((folder / "input/config/resourceconfig.json").read_text("utf-8"))
        found = config.get("current_instance_type")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""


def _from_metadata(endpoint: str) -> str | None:
    """Ask the instance metadata service, version 2."""
    # Imported here: most machines have a file with the answer.
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    try:
        url = urlsplit(endpoint)
        base = url.path.rstrip("/") + "/latest/"
        connection = HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT_S)
        try:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            connection.request("PUT", base + "api/token", headers=ttl)
            token = connection.getresponse().read().decode()
            headers = {"X-aws-ec2-metadata-token": token}
            connection.request("GET", base + "meta-data/instance-type", headers=headers)
            found = connection.getresponse().read().decode()
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError):
        return None
    return found if _TYPE.fullmatch(found) else None
