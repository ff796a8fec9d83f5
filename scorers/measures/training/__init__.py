"""Measures that train: trajectories, gradients and Cappy."""
