"""Which task to generate or train for next, told from how the last rounds went.

A task is a prompt, a source, a cluster or a skill. `mopps` counts successes and needs no model: the
one to begin with. `mpts` predicts the loss of tasks that were never tried from a description of
them.
"""
