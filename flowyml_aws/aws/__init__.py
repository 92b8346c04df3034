"""AWS adapters. They receive their boto3 clients as arguments."""
