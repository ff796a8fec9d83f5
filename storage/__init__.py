"""Storage: one workspace is one DuckDB file and the Parquet shards beside it."""
