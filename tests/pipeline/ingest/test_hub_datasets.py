from pathlib import Path

import datasets
import pytest
from datasets import Dataset, DatasetDict

from pipeline.ingest.hub_datasets import is_saved_dataset, read_hub_dataset, read_saved_dataset
from pipeline.ingest.rows import RawRow, UnreadableRow, UnreadableSourceError
from pipeline.ingest.shapes import read_conversation

LIMIT = 10_000
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def values(rows: list[RawRow | UnreadableRow]) -> list[dict]:
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    return [row.value for row in rows if isinstance(row, RawRow)]


def test_a_saved_dataset_is_read_in_order(tmp_path: Path) -> None:
    dataset = Dataset.from_list([{"messages": TURNS, "n": n} for n in range(600)])
    dataset.select(range(500, 0, -1)).save_to_disk(tmp_path / "saved")
    assert is_saved_dataset(tmp_path / "saved")
    read = values(list(read_saved_dataset(tmp_path / "saved", LIMIT)))
    assert [row["n"] for row in read] == list(range(500, 0, -1))
    assert read_conversation(read[0])[0].messages == tuple(TURNS)


def test_splits_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    parts = {name: Dataset.from_list([{"a": name}]) for name in ("validation", "test", "train")}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    read = values(list(read_saved_dataset(tmp_path / "saved", LIMIT)))
    assert read == [{"a": "test"}, {"a": "train"}, {"a": "validation"}]


def test_a_directory_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    assert not is_saved_dataset(tmp_path)
    with pytest.raises(UnreadableSourceError, match="is no saved dataset"):
        list(read_saved_dataset(tmp_path, LIMIT))


@pytest.mark.parametrize(
    ("rest", "configuration", "revision", "split"),
    [
        ("", None, None, None),
        ("@v1.0", None, "v1.0", None),
        (":train", None, None, "train"),
        ("@refs/pr/1:train", None, "refs/pr/1", "train"),
        (":20231101.en:train", "20231101.en", None, "train"),
        (":sample-10BT@main", "sample-10BT", "main", None),
        (":main@refs/pr/1:test", "main", "refs/pr/1", "test"),
    ],
)
def test_a_hub_id_names_configuration_revision_and_split(
    monkeypatch: pytest.MonkeyPatch,
    rest: str,
    configuration: str | None,
    revision: str | None,
    split: str | None,
) -> None:
    asked: list[object] = []

    def load(
        name: str, configuration: str | None, revision: str | None, split: str | None
    ) -> Dataset | DatasetDict:
        asked.extend([name, configuration, revision, split])
        part = Dataset.from_list([{"a": 1}])
        return part if split else DatasetDict({"train": part})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert values(list(read_hub_dataset(f"hub:org/na-me.1{rest}", LIMIT))) == [{"a": 1}]
    assert asked == ["org/na-me.1", configuration, revision, split]


@pytest.mark.parametrize(
    "reference",
    ["hub:", "hub:name", "hub:a/b/c", "hub:a/b:c d", "hub:../x@", "hub:a/b:c:d:e", "hub:a/b:c:"],
)
def test_what_is_no_hub_id_is_refused(reference: str) -> None:
    with pytest.raises(UnreadableSourceError, match="expected hub:organisation/name"):
        list(read_hub_dataset(reference, LIMIT))


def test_without_a_hub_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnreadableSourceError, match=r"hub:org/none cannot be had.*save_to_disk"):
        list(read_hub_dataset("hub:org/none", LIMIT))
