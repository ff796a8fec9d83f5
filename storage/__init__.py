"""Storage: one workspace is one DuckDB file and the Parquet shards beside it.

Its exceptions; a number is the exit code of a command that one ends:

    ValueError
    ├── BrokenManifestError       3  a manifest cannot be understood (exports_manifest.py)
    ├── DamagedMeasurementsError  3  a file of measurements is not what was committed
    │                                (shard_checks.py)
    ├── DatabaseFileError         2  the database is damaged, or another program's file
    │                                (database_file.py)
    ├── OtherShardLocationError   2  the shards are elsewhere, or of another workspace
    │                                (shard_location.py)
    ├── QueryError                2  what was asked for is not in the workspace (database.py)
    ├── TableQueryError              a source's database, or query, that fails (table_queries.py)
    └── WorkspaceVersionError     2  written by a newer version of Sluice (database.py)
    OSError
    ├── NoRoomForBackupError      3  no room for a copy before a migration (upgrade.py)
    └── ShardsUnreachableError    2  the place of the shards cannot be used (shard_files.py)
    FileNotFoundError
    ├── NoExportError             2  a folder is no finished export (exports_manifest.py)
    ├── LostMeasurementsError     3  files of measurements are gone (views.py)
    └── WorkspaceMissingError     2  no workspace where one was asked for (database.py)
    ImportError
    └── MissingStorePackageError  5  the package of a kind of store is missing (shard_files.py)
    RuntimeError
    └── WorkspaceBusyError        2  another process has it open for writing (database.py)
"""
