"""Which of several copies of an example to keep: by words (minhash.py) or by meaning (semantic.py).

Both visit the rows with the highest keep score first, and remove a row only because of one that is
kept. So the best copy always survives, and no row goes because of another that went.
"""
