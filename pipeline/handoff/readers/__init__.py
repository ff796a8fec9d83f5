"""Readers: what runs in a trainer's own environment, and has its own code read a handoff.

Each is a script of its own, `python read_NAME.py FOLDER OUT`, that imports the trainer's packages
and nothing of this project.
"""
