"""Recipes that run as they are, and the builder of the rows that the demo recipe reads."""
