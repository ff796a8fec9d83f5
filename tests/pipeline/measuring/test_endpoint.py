from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.measuring.endpoint import Endpoint, ServedModel, find_served
from scorers.measures.models.loading import MissingModelError
from tests.fake_endpoint import Canned, serve


def models(root: str) -> Canned:
    return Canned(body={"data": [{"id": "m", "root": root}]})


def test_each_model_has_a_folder_of_replies(tmp_path: Path) -> None:
    root = "/w/1"
    with serve(lambda body, attempt: models(root)) as server:
        endpoint = Endpoint(base_url=server.base_url, retries=0, max_concurrency=3)
        first = ServedModel.find(endpoint, "m", tmp_path)
        root = "/w/2"
        second = ServedModel.find(endpoint, "m", tmp_path)
    assert first.settings().cache == tmp_path / first.fingerprint[:16]
    assert first.settings().cache != second.settings().cache
    assert (first.settings().model, first.settings().max_concurrency) == ("m", 3)


def test_a_model_that_is_another_by_now_is_not_asked(tmp_path: Path) -> None:
    root = "/w/1"
    with serve(lambda body, attempt: models(root)) as server:
        served = ServedModel.find(Endpoint(base_url=server.base_url), "m", tmp_path)
        assert served.connect() == served.settings()
        root = "/w/2"
        with pytest.raises(MissingModelError, match="another 'm'"):
            served.connect()


def test_without_an_endpoint_no_server_is_looked_for(tmp_path: Path) -> None:
    assert find_served(None, "m", tmp_path) is None


def test_an_address_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValidationError, match="must start with http"):
        Endpoint(base_url="localhost:8000/v1")
