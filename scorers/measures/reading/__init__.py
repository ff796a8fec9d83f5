"""Reading: conversations become tokens, and tokens are read in packed passes."""
