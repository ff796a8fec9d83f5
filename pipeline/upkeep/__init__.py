"""Upkeep: checks of an installation and a workspace, and what can be cleared away."""
