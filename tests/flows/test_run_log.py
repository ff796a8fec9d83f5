import logging
from collections.abc import Iterator

import pytest

import flows
from flows.recipe.check import RecipeError
from flows.run_log import LOGGERS

# There is no run here, and so no page that Prefect could send it to.
pytestmark = pytest.mark.filterwarnings("ignore:Logger 'prefect")


@pytest.fixture(params=LOGGERS)
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """As Prefect has it once flows are imported; what it says goes to `caplog`."""
    assert flows.__doc__
    found = logging.getLogger(request.param)
    was = found.propagate
    found.propagate = True
    yield found
    found.propagate = was


def test_an_error_of_a_users_is_one_message(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise RecipeError("r.yaml", ["there is no such file"])
    except RecipeError as error:
        logger.exception("Encountered exception during execution: %r", error)
    (record,) = caplog.records
    assert "r.yaml" in record.getMessage() and "no such file" in record.getMessage()
    assert "Encountered" not in caplog.text and "Traceback" not in caplog.text


def test_a_bug_of_ours_keeps_its_traceback(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        raise KeyError("a bug")
    except KeyError as error:
        logger.exception("Encountered exception during execution: %r", error)
    assert "Encountered" in caplog.text and "Traceback" in caplog.text
