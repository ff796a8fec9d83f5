"""Text that stands in more than one place, word for word: where, and in which rows.

A suffix array (suffixes.py) over rows cut into words finds every run of words that a text shares
with them. Deduplication (pipeline/dedupe/substring.py) and tracing (pipeline/trace.py) use it.
"""
