"""Cleaning: personal data is found and reported, redacted or dropped."""
