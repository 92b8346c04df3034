"""The user that the runner continues as: root only on SageMaker."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["USER_VARIABLE", "drop_root"]

USER_VARIABLE = "FLOWYML_USER"
"""Variable of an image that declares the user id of its jobs, in place of a USER instruction."""


def drop_root(environment: Mapping[str, str]) -> None:
    """Continue as the image's unprivileged user, unless SageMaker runs the container.

    SageMaker creates `/opt/ml` and `/tmp` for root, so that any other user can't store checkpoints,
    models or temporary files there. No-op without root, and in images that declare no user.
    """
    user = environment.get(USER_VARIABLE)
    if not user or environment.get("TRAINING_JOB_NAME") or os.geteuid() != 0:
        return
    os.setgroups([])
    os.setgid(int(user))  # the group has the same id
    os.setuid(int(user))
