"""S3: the artifact store of runs on AWS."""
