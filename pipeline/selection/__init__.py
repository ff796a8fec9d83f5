"""Which examples to keep: one method per file, arrays in, picks and reasons out.

Every method ties by example_id and none depends on the order of the rows. A method that cannot
beat `random.py` and `length_matched.py` at equal size is not a method.

To add one: write methods/NAME.py with `select_NAME(...) -> Outcome` and its step, add the step to
steps.py, and write its test. What a method must do is tested for all of them in
tests/pipeline/selection/methods/test_contract.py; a reason of its own goes into ranking/outcome.py.
"""
