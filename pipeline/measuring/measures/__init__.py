"""The measures: for each, what a recipe can set, its key, and the asking itself."""
