"""The measures: for each, what a recipe can set, what a worker must know, and the call itself.

Each file has one frozen settings class with `key`, `inputs` and `measure` (see pipeline/shards.py).
The arithmetic of a model's answer is in scorers/measures; here rows go in and out.
"""
