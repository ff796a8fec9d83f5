"""Flows: the recipe, the Prefect flow that runs it, and the command line. Only here is Prefect.

Its exceptions, each with the exit code of the command that it ends:

    ValueError
    ├── ClusterError            2  a cluster is not named, not there, or has no workers (runners.py)
    ├── DeployError             2  recipes cannot be deployed together, or Prefect refused them
    │                              (recipe_deployments.py)
    ├── NoRowsError             1  the sources hold no row, or the steps left none (begin_run.py)
    ├── NothingFailedError      2  there is nothing to ask again (retry_rows.py)
    ├── RecipeError             2  a recipe cannot be run; it has every reason found
    │                              (recipe/check.py)
    ├── TooManyBadRowsError     3  more rows in quarantine than tolerated (begin_run.py)
    └── TrialError              2  an arm cannot be compared as asked (draw_arms.py)
    RuntimeError
    └── DeploymentMissingError  2  the server does not have the deployment (submit_run.py)
"""

from flows.run_log import shorten_logs

shorten_logs()  # before Prefect logs anything of a flow of ours
