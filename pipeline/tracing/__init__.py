"""Tracing: which rows of the pool a text comes from."""
