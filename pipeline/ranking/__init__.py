"""The ground floor of dedupe and selection: orders, budgets, neighbours, outcomes."""
