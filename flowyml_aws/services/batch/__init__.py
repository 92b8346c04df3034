"""AWS Batch: jobs are containers on the instances of job queues."""
