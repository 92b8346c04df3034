"""EC2: instance types, prices and quotas of an account."""
