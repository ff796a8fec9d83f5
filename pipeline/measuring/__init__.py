"""Measuring: what is missing is planned, cut into shards, asked of models, and committed.

`stage.py` plans a run's measures, `shards.py` cuts and commits, `shard_work.py` is what a worker
does, and `measures/` has a file for each measure. The arithmetic of a model's answer is in
scorers/measures; here rows go in and out.
"""
