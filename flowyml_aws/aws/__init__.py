"""Adapters over boto3 clients, which are given to them."""
