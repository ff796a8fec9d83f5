"""Scoring: stored measurements become one number per example; backfills of them."""
