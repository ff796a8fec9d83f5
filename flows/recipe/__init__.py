"""The recipe: its schema, its form in the Prefect UI, and the checks before any work."""
