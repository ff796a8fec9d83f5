"""Viewing: the pages of `sluice view`, on which a person reads what a run did and its rows.

Rows are hostile: whatever a template writes is escaped, and stripped of what a reader would obey
and not see (rendering.py). Whoever asks must know the token and come from the page itself
(guard.py). Pages read the workspace as every command does, and only verdicts are written.
"""
