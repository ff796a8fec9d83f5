"""Trainers: what each reads, what it makes of a row, and the files that start it."""
