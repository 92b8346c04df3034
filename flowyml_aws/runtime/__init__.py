"""The runner inside a job: `python -m flowyml_aws.runtime <uri of a JobSpec>#sha256=<digest>`."""
