"""The stages as plain functions: read, ask one thing, write back. One folder for each stage.

Exceptions of our own exist only where something catches them, be it the command line: a number is
the exit code of a command that one ends; the others are caught before that.

    ValueError
    ├── BackfillError           2  what was asked for cannot be backfilled (scoring/backfill.py)
    ├── BrokenStreamError          a compressed stream ends early or is damaged
    │                              (ingest/compression.py)
    ├── ExamplesError           2  a file of examples is not there, or is none
    │                              (generation/few_shot.py)
    ├── HandoffError            2  an export cannot be handed over as asked (handoff/write.py)
    ├── InvalidJsonError           a text is not the JSON we accept (ingest/strict_json.py)
    ├── NoVerdictsError         2  no run has judged an answer (advice/suggest.py)
    ├── UnheldRowError             a trainer cannot hold a row as promised (handoff/prediction.py)
    ├── UnmeasuredTargetsError  2  a score finds no target to compare with (scoring/stage.py)
    ├── UnreadableDocumentError    one file gives no text; it goes to quarantine
    │                              (documents/extracted.py)
    ├── UnreadableRowError         one row is no conversation; it goes to quarantine
    │                              (ingest/rows.py)
    ├── UnreadableSourceError   3  a whole source cannot be read (ingest/rows.py)
    └── WrongNameError          2  a recipe names a source that no row has
                                   (selection/source_names.py)
    OSError
    └── PortInUseError          2  something listens where a server is to listen (serving/server.py)
    FileNotFoundError
    └── NoHandoffError          2  a folder is no finished handoff (handoff/manifest.py)
    FileExistsError
    └── ExportExistsError       3  a folder holds another export, or a damaged one (export/files.py)
    ImportError
    └── MissingExtraError       5  an optional dependency is not installed (extras.py)
    RuntimeError
    ├── EnvironmentSetUpError   5  an environment of its own could not be set up
    │                              (serving/own_environment.py)
    ├── IndexDamagedError       3  an index names a place with another text (tracing/report.py)
    ├── NoSandboxError          5  programs cannot be run apart here (generation/sandbox.py)
    ├── OtherWorkerError        2  a worker has other code or another model (code_version.py)
    ├── TrainerFailedError      1  a trainer's own code fails on a handoff (handoff/verify.py)
    └── ServerFailedError       5  a server ended, or was not ready in time (serving/server.py)
"""
