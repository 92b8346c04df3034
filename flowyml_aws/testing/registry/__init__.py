"""The emulated ECR registry: what `docker push`, `podman push` and pulls of images talk to."""
