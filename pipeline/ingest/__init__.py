"""Ingest: rows of files, tables and queries become examples, or go to quarantine."""
