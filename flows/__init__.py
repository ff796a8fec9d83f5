"""Flows: the recipe, the Prefect flow that runs it, and the command line. Only here is Prefect."""
