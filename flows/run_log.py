"""What the log of a run's page says of an error: a user's in one line, a bug of ours in full."""

import logging

LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def leave_out_traceback(record: logging.LogRecord) -> bool:
    """Of an error that a user can do something about, have its message alone be said."""
    error = record.exc_info[1] if record.exc_info else None
    if getattr(error, "exit_code", None) is not None:  # as the command line tells them apart
        record.msg, record.args = "%s", (error,)
        record.exc_info = record.exc_text = None
    return True


def shorten_logs() -> None:
    """Have Prefect's loggers of runs do so; twice is once."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(leave_out_traceback)
