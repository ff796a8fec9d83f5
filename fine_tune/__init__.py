"""Fine-tuning: prove that the trainer sees what an export promises, train on it, evaluate.

Knows an export's folder and its manifest, and nothing of how the rows were chosen; needs no
database. `import fine_tune.train` is quick: torch and TRL are imported when work begins.
"""
