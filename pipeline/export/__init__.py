"""Export: a selection is written for a trainer, with its manifest, and checked."""
