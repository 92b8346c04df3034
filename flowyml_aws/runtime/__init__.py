"""The runner inside a job: `python -m flowyml_aws.job <uri of a JobSpec>#sha256=<digest>`."""
