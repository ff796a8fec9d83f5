"""The stages as plain functions: read, ask one thing, write back.

Exceptions of our own exist only where something catches them:

    ValueError
    ├── UnreadableSourceError   a whole source cannot be read (pipeline/rows.py)
    ├── UnreadableRowError      one row is no conversation; it goes to quarantine (pipeline/rows.py)
    ├── UnmeasuredTargetsError  a score finds no target to compare with (pipeline/score.py)
    ├── InvalidJsonError        a text is not the JSON we accept (pipeline/strict_json.py)
    └── BrokenStreamError       a compressed stream ends early or is damaged
                                (pipeline/compression.py)
    OSError
    └── PortInUseError          something listens where a server is to listen (pipeline/serve.py)
    RuntimeError
    ├── EnvironmentSetUpError   vLLM could not be set up (pipeline/serving_environment.py)
    └── ServerFailedError       a server ended, or was not ready in time (pipeline/serve.py)
"""
