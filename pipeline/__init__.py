"""The stages as plain functions: read, ask one thing, write back. One folder for each stage.

Exceptions of our own exist only where something catches them:

    ValueError
    ├── UnreadableSourceError   a whole source cannot be read (ingest/rows.py)
    ├── UnreadableRowError      one row is no conversation; it goes to quarantine (ingest/rows.py)
    ├── UnmeasuredTargetsError  a score finds no target to compare with (scoring/stage.py)
    ├── InvalidJsonError        a text is not the JSON we accept (ingest/strict_json.py)
    └── BrokenStreamError       a compressed stream ends early or is damaged
                                (ingest/compression.py)
    OSError
    └── PortInUseError          something listens where a server is to listen (serving/server.py)
    RuntimeError
    ├── EnvironmentSetUpError   vLLM could not be set up (serving/environment.py)
    └── ServerFailedError       a server ended, or was not ready in time (serving/server.py)
"""
