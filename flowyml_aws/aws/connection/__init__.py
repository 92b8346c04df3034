"""Sessions and clients of the SDK."""
