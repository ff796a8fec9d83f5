"""Handoff: an export in the dialect of a trainer, with what that trainer will make of each row."""
