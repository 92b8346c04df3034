"""Context values as the parameters that take them expect them."""
