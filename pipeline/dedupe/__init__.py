"""Which of several copies of an example to keep.

Copies are told by words (minhash.py), by meaning (semantic.py) or by a long passage (substring.py).
All visit the rows with the highest keep score first, and remove a row only because of one that is
kept. So the best copy always survives, and no row goes because of another that went.
"""
