"""What to do next: budgets, mixtures, tasks to sample, what to review."""
