"""What the command line sets where the user has not: offline, quiet, and patient."""

ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",  # set it to 0 to name models and data of a hub
    "OMP_WAIT_POLICY": "passive",  # or threads that wait for a busy core keep others from theirs
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # by its pulse a server knows that a run is alive
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the run page has the log
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # on busy cores its 20 are too few
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "TOKENIZERS_PARALLELISM": "true",  # on all cores; unset, a fork after the first use warns
}
