"""Which examples to keep: one method per file, arrays in, picks and reasons out.

Every method ties by example_id and none depends on the order of the rows. A method that cannot
beat `random.py` and `length_matched.py` at equal size is not a method.

To add one: write methods/NAME.py with `select_NAME(...) -> Picked` and its test, add it to METHODS
in tests/pipeline/selection/methods/test_contract.py, its reasons to pipeline/ranking/outcome.py,
and its step to steps.py.
"""
