"""The catalogue of selection methods: one file each."""
