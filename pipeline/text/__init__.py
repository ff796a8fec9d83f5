"""The ground floor of everything that compares texts: tokens, shingles, suffix arrays."""
