"""Does a choice train better than its controls: arms, items, intervals and verdicts."""
