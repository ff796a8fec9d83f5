"""Makers and judges in batch files: the same rows as request by request, in one batch a step."""

from pathlib import Path

import pytest

from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.s3ft import S3FT
from pipeline.measuring.endpoint import BatchSettings, Endpoint
from tests.fake_batches import FakeBatches, serve_batches
from tests.fake_endpoint import Body, Canned, completion
from tests.scripted_maker import (
    begin,
    kept_attached,
    last_message,
    make,
    rows_of,
    script,
    write_sums,
)

pytestmark = pytest.mark.slow  # a server is asked


def say(text: str, seed: int) -> str:
    if "to be judged:" in text:
        return "yes"
    return f"{seed % 9} makes {len(text)}"


def respond(body: Body, attempt: int) -> Canned:
    if not body:
        return Canned(body={"data": [{"id": "m"}]})
    if body["messages"][-1]["content"].startswith("What is 3 plus 5") and not attempt:
        return Canned(500)  # as if for a moment
    return completion(say(last_message(body), int(body["seed"])))


@pytest.mark.parametrize(
    ("maker", "batches_of"),
    [
        (Answer(prompts="all", answers=2), [16, 2]),
        (S3FT(method="s3ft", judge="model"), [8, 1, 8]),
    ],
    ids=["answer", "s3ft"],
)
def test_rows_are_those_of_requests_one_by_one(
    maker: AnyMaker, batches_of: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one by one").mkdir()
    with kept_attached():
        batches = FakeBatches(respond)
        with serve_batches(batches) as server:
            batch = BatchSettings(poll_seconds=0.001)
            endpoint = Endpoint(base_url=server.base_url, retries=1, batch=batch)
            run, pool = begin(tmp_path, write_sums(tmp_path))
            made, _ = make(run, maker.model_copy(update={"model": "m", "endpoint": endpoint}), pool)
            assert all(not each.body for each in server.received), "nothing is asked at once"
        sent = [batches.files[each["input_file_id"]] for each in batches.batches.values()]
        assert [len(lines.splitlines()) for lines in sent] == batches_of
        script(monkeypatch, say)
        other, pool = begin(tmp_path / "one by one", write_sums(tmp_path))
        asked, _ = make(other, maker.model_copy(update={"model": "m"}), pool)
        assert rows_of(run) == rows_of(other) and made.asked == asked.asked
