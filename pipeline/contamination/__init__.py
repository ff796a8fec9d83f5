"""Contamination: which rows hold something of an evaluation set, found by several matchers.

ngrams.py looks for shared runs of words, short.py for short prompts that are the same, semantic.py
for embeddings that point the same way. Each takes rows and gives matches with their evidence;
leaks.py injects leaks of known kinds and counts how many of them the same matchers find.
"""
