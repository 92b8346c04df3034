"""Codecs: encoding of values to bytes and back. `codec.py` defines the interface of a codec."""
