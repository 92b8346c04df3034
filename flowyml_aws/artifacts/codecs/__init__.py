"""How values become bytes and come back the same. `codec.py` says what a codec of your own is."""
