"""The construct of the whole account."""

from __future__ import annotations

import json

from aws_cdk import CfnOutput
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from flowyml_account.alerts import make_alerts
from flowyml_account.batch import make_queues
from flowyml_account.builds import make_builds
from flowyml_account.exceptions import acknowledge_exceptions
from flowyml_account.names import Names
from flowyml_account.network import make_network
from flowyml_account.nodes import make_nodes_network
from flowyml_account.options import Options
from flowyml_account.roles import make_roles
from flowyml_account.storage import make_storage

__all__ = ["FlowymlAccount"]


class FlowymlAccount(Construct):
    """All resources that flowyml-aws needs in an account.

    None of them costs money while idle, except those of the capacity `nodes`.

    Attributes:
        name: Name of the account, for the setting `account`.
        store: URI of the store that contains the runs.
        repository: URI of the image repository.
        queues: Names of the Batch queues.
    """

    def __init__(self, scope: Construct, construct_id: str, *, options: Options) -> None:
        super().__init__(scope, construct_id)
        names = Names(options)
        make_storage(self, names)
        network = make_network(self, names)
        nodes = make_nodes_network(self, names, network)
        roles = make_roles(self, names)
        self.name, self.store, self.repository = options.name, names.store, names.repository
        self.queues = make_queues(self, names, network, nodes, roles)
        topic_arn = make_alerts(self, names, self.queues)
        settings = {
            "version": 1,
            "store": names.store,
            "queues": self.queues,
            "repository": names.repository,
            "job_role": names.role_arn("job"),
            "execution_role": names.role_arn("execution"),
            "log_group": names.log_group,
            "driver_queue": names.driver_queue,
            "driver_role": names.role_arn("driver"),
            "sagemaker_role": names.role_arn("sagemaker"),
        }
        if options.schedules:
            settings["schedule_group"] = names.prefix
            settings["schedule_role"] = names.role_arn("scheduler")
        if roles.builds_arn is not None:
            make_builds(self, names, roles.builds_arn)
            settings["build_project"] = names.build_project
        # All settings that a client needs; it reads them if its setting `account` is `name`.
        ssm.CfnParameter(
            self,
            "Parameter",
            name=names.parameter,
            description="Settings of flowyml-aws for all users of this account",
            type="String",
            value=json.dumps(settings),
            tags=names.tags,
        )
        acknowledge_exceptions(self, names)
        self._output("Account", self.name)
        self._output("Store", self.store)
        self._output("Repository", self.repository)
        self._output("Queues", ",".join(self.queues))
        self._output("UserPolicyArn", roles.user_policy_arn)
        self._output("UserRoleArn", roles.user_arn)
        self._output("TopicArn", topic_arn)

    def _output(self, name: str, value: str) -> None:
        """Create an output of the stack; Terraform's have the same names, in its spelling."""
        CfnOutput(self, f"Output{name}", value=value).override_logical_id(name)
