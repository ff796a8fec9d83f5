"""Fine-tuning: prove that the trainer sees what an export promises, train on it, evaluate.

Knows an export's folder and its manifest, and nothing of how the rows were chosen; needs no
database. `import fine_tune.train` is quick: torch and TRL are imported when work begins.

Its exceptions, each with the exit code of the command that it ends:

    ValueError
    ├── OtherTrainingError  2  a folder belongs to another training (report.py)
    ├── TokenMismatchError  3  a trainer would not train what was promised (verify_tokens.py)
    └── UnknownExportError  2  an export to be mixed is not there, or another (mixture.py)
    ImportError
    └── MissingLibraryError 5  what a training needs is not installed (four_bits.py)
"""
