"""Reads the models of S3 when it is imported, so that the forks of a warm process need not.

They take a third of the CPU time of a small job.
"""

from __future__ import annotations

from flowyml_aws.aws.connection.sessions import new_session

_session = new_session()
_session.set_credentials("none", "none")  # botocore would ask the network for others
_session.create_client("s3", region_name="us-east-1").close()
