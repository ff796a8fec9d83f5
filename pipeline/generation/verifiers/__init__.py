"""The verifiers of answers, one file each: what an answer must be, and how that is seen."""
