"""Functions that stand for the tools of calls.jsonl when calls that a model made up are run."""

from datetime import date


def days_between(first: str, last: str) -> int:
    """Days from one date to another, as year-month-day."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def day_of_week(date: str) -> str:
    """Day of the week of a date, as year-month-day."""
    from datetime import date as day

    return day.fromisoformat(date).strftime("%A")
