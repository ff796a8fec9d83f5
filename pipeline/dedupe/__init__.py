"""Which of several copies of an example to keep.

Copies may be equal (exact.py), share most of their words or characters (minhash.py), mean the same
(semantic.py), or share a long passage (substring.py). Each method visits the rows with the highest
keep score first, and removes a row only because of one that is kept. So the best copy always
survives, and no row goes because of another that went.
"""
