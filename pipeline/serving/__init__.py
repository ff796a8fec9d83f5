"""Serving: a vLLM server with an environment of its own."""
