"""Backfills: every example of the window, in the partition it arrived in, and nothing twice."""

import json
from datetime import date
from pathlib import Path

import pytest

from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.cost import MeasurePlan
from pipeline.measuring.measures.tags import TagSettings
from pipeline.measuring.measures.turn_ratings import TurnRatingSettings
from pipeline.measuring.shards import measure_here
from pipeline.scoring.backfill import (
    Backfill,
    BackfillError,
    PartitionPlan,
    count_tokens,
    plan_partitions,
    predict,
    prepare_backfill,
    seconds_of,
)
from pipeline.scoring.stage import ScoreSettings, score_examples
from storage.arrivals import Window, read_arrivals
from storage.database import open_workspace
from storage.workspace import Workspace
from tests.tiny_models import save_tiny_llama

IFD = ScoreSettings(scorer="ifd")
DAYS = {"a.jsonl": "2026-10-30", "b.jsonl": "2026-10-31", "c.jsonl": "2026-11-02"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    return str(save_tiny_llama(tmp_path_factory.mktemp("tiny"), chat_template=template))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three files of two rows, one row in the first two of them; read on three days."""
    workspace = Workspace(tmp_path / "w")
    for name, day in DAYS.items():
        prompts = ["shared" if name != "c.jsonl" else "other", name]
        rows = [{"prompt": prompt, "completion": "1 2 3"} for prompt in prompts]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources = identify_sources(workspace, [SourceSettings(path=str(tmp_path / name))])
        ingest_sources(workspace, sources)
        with open_workspace(workspace) as con:
            query = "update sources set ingested_at = ? where source_id = ?"
            con.execute(query, [f"{day} 23:30:00+00", sources[0].source_id])
    return workspace


def measures(model: str) -> MeasureSettings:
    block = {"model": model, "max_tokens": 64}
    return MeasureSettings.model_validate(
        {"tokens": block, "losses": {**block, "dtype": "float32"}}
    )


def test_rows_that_were_only_targets_are_left_out(workspace: Workspace) -> None:
    with open_workspace(workspace) as con:
        count = len(read_arrivals(con, Window(period="month"))[date(2026, 10, 1)])
        last = "select source_id from sources where path like '%b.jsonl'"
        con.execute(f"insert into run_targets select 'r', source_id from ({last})")
        assert len(read_arrivals(con, Window(period="month"))[date(2026, 10, 1)]) == count - 1
        con.execute(f"insert into run_sources select 'r', source_id from ({last})")
        assert len(read_arrivals(con, Window(period="month"))[date(2026, 10, 1)]) == count


def prepare(workspace: Workspace, model: str, window: Window) -> Backfill:
    return prepare_backfill(workspace, measures(model), [IFD], window, seed=0)


def sizes(backfill: Backfill) -> dict[str, int]:
    return {str(each): len(each.ids) for each in backfill.partitions}


def test_an_example_belongs_to_the_day_it_first_came(workspace: Workspace, model: str) -> None:
    expected = {"2026-10-30": 2, "2026-10-31": 1, "2026-11-02": 2}
    assert sizes(prepare(workspace, model, Window())) == expected


def test_weeks_and_months_are_cut_at_their_ends_and_at_the_windows(
    workspace: Workspace, model: str
) -> None:
    months = prepare(workspace, model, Window(period="month"))
    assert sizes(months) == {"2026-10-01 to 2026-10-31": 3, "2026-11-01 to 2026-11-30": 2}
    window = Window(date(2026, 10, 31), date(2026, 11, 2), period="week")
    weeks = prepare(workspace, model, window)  # Mondays: 26 October, 2 November
    assert sizes(weeks) == {"2026-10-31 to 2026-11-01": 1, "2026-11-02": 2}


def test_both_ends_of_a_window_are_in_it(workspace: Workspace, model: str) -> None:
    window = Window(date(2026, 10, 31), date(2026, 10, 31))
    assert sizes(prepare(workspace, model, window)) == {"2026-10-31": 1}
    with pytest.raises(BackfillError, match="no example arrived"):
        prepare(workspace, model, Window(since=date(2026, 11, 3)))


def test_examples_of_all_partitions_are_measured_in_the_order_of_their_ids(
    workspace: Workspace, model: str
) -> None:
    backfill = prepare(workspace, model, Window())
    ids = [example_id for each in backfill.partitions for example_id in each.ids]
    assert ids != sorted(ids), "by day they stand in another order"
    for job in backfill.jobs.values():
        assert list(job.ids) == sorted(ids) and job.pool == 5


def test_a_partition_takes_its_share_of_the_seconds(workspace: Workspace, model: str) -> None:
    partition = prepare(workspace, model, Window()).partitions[0]
    missing = {"losses": 1, "tags": 3, "ratings": 0}
    plan = PartitionPlan(partition, missing, "key", {})
    tried = {
        name: MeasurePlan(name, "m", 9, rows, 0, rows, seconds, None)
        for name, rows, seconds in (("losses", 1, 8.0), ("tags", 4, 2.0), ("ratings", 0, None))
    }
    assert seconds_of(plan, tried) == 8.0 + 2.0 * 3 / 4


def test_a_source_is_chosen_by_a_pattern(workspace: Workspace, model: str) -> None:
    by_source = prepare(workspace, model, Window(source="*/b.jsonl"))
    assert sizes(by_source) == {"2026-10-31": 2}  # also the row that another file had before


def test_only_what_the_scores_read_is_measured(workspace: Workspace, model: str) -> None:
    settings = measures(model)
    ifd = prepare_backfill(workspace, settings, [IFD], Window(), 0)
    length = ScoreSettings(scorer="response_length")
    lengths = prepare_backfill(workspace, settings, [length], Window(), 0)
    assert list(ifd.jobs) == ["token_counts", "losses"]
    assert list(lengths.jobs) == ["token_counts"]
    both = {"complexity": {"model": model}, "quality": {"model": model}}
    rated = settings.model_copy(
        update={"turn_ratings": TurnRatingSettings.model_validate(both), "tags": TagSettings()}
    )
    assert list(prepare_backfill(workspace, rated, [IFD], Window(), 0).jobs) == list(ifd.jobs)
    deita = prepare_backfill(workspace, rated, [ScoreSettings(scorer="deita")], Window(), 0)
    assert list(deita.jobs) == ["token_counts", "turn_ratings"]


@pytest.mark.slow
def test_the_plan_names_what_is_missing_and_the_same_work_by_the_same_key(
    workspace: Workspace, model: str
) -> None:
    backfill = prepare(workspace, model, Window())
    count_tokens(backfill)
    plans = plan_partitions(backfill)
    assert [plan.missing for plan in plans] == [
        {"token_counts": 0, "losses": 2},
        {"token_counts": 0, "losses": 1},
        {"token_counts": 0, "losses": 2},
    ]
    assert [plan.key for plan in plan_partitions(backfill)] == [plan.key for plan in plans]
    first = backfill.of(backfill.partitions[0])["losses"]
    measure_here(workspace, first.measure, first.ids)
    after = plan_partitions(backfill)
    assert [plan.missing["losses"] for plan in after] == [0, 1, 2]
    assert after[0].key != plans[0].key
    assert [plan.key for plan in after[1:]] == [plan.key for plan in plans[1:]]


@pytest.mark.slow
def test_time_is_shared_out_by_what_is_missing(workspace: Workspace, model: str) -> None:
    backfill = prepare(workspace, model, Window())
    count_tokens(backfill)
    told: list[tuple[str, int, int | None]] = []
    plans = predict(
        backfill, plan_partitions(backfill), rows=3, report=lambda *each: told.append(each)
    )
    assert told == [("plan: trying losses, 1 of 1", n, total) for n, total in ((0, None), (5, 5))]
    seconds = [plan.seconds for plan in plans]
    assert all(each is not None and each > 0 for each in seconds)
    assert seconds[0] == seconds[2] == pytest.approx(2 * (seconds[1] or 0))


@pytest.mark.slow
def test_a_score_of_texts_asks_for_nothing_and_is_due_until_it_is_there(
    workspace: Workspace, model: str
) -> None:
    text = ScoreSettings(scorer="type_token_ratio")
    backfill = prepare_backfill(workspace, measures(model), [text], Window(), 0)
    assert list(backfill.jobs) == ["token_counts"]
    count_tokens(backfill)
    before = plan_partitions(backfill)
    assert [plan.missing for plan in before] == [{"token_counts": 0}] * 3
    assert [plan.unscored for plan in before] == [
        {"type_token_ratio": 2},
        {"type_token_ratio": 1},
        {"type_token_ratio": 2},
    ]
    assert len({plan.key for plan in before}) == 3
    states = score_examples(workspace, text, {}, backfill.partitions[0].ids)
    after = plan_partitions(backfill)
    assert states == {"ok": 2}
    assert [plan.unscored for plan in after] == [{}, *(plan.unscored for plan in before[1:])]
    assert after[0].key != before[0].key
    assert [plan.key for plan in after[1:]] == [plan.key for plan in before[1:]]


@pytest.mark.slow
def test_a_score_whose_measurements_are_there_is_due_as_well(
    workspace: Workspace, model: str
) -> None:
    backfill = prepare(workspace, model, Window())
    count_tokens(backfill)
    assert [plan.unscored for plan in plan_partitions(backfill)] == [{}] * 3, "first they are asked"
    first = backfill.of(backfill.partitions[0])["losses"]
    measure_here(workspace, first.measure, first.ids)
    assert [plan.unscored for plan in plan_partitions(backfill)] == [{"ifd": 2}, {}, {}]


@pytest.mark.parametrize("scorer", ["s2l_cluster", "tag_count", "cappy"])
def test_what_compares_a_whole_pool_is_refused(
    scorer: str, workspace: Workspace, model: str
) -> None:
    score = ScoreSettings(scorer=scorer)
    with pytest.raises(BackfillError, match=f"{scorer} compares the rows of a whole pool"):
        prepare_backfill(workspace, measures(model), [score], Window(), 0)


def test_what_compares_rows_with_repairs_is_refused(workspace: Workspace, model: str) -> None:
    settings = MeasureSettings.model_validate(
        {"tokens": {"model": model}, "preferences": {"model": model}, "losses": {"model": model}}
    )
    preference = ScoreSettings(scorer="preference")
    with pytest.raises(BackfillError, match="preference compares rows with repairs"):
        prepare_backfill(workspace, settings, [preference], Window(), 0)
    assert "preferences" not in prepare_backfill(workspace, settings, [IFD], Window(), 0).jobs


def test_a_part_is_refused(workspace: Workspace, model: str) -> None:
    samples = {"model": model, "part": {"rows": 1}}
    settings = MeasureSettings.model_validate(
        {"tokens": {"model": model}, "confidence": {"samples": samples}}
    )
    score = ScoreSettings(scorer="confidence")
    with pytest.raises(BackfillError, match="samples of a part of its pool"):
        prepare_backfill(workspace, settings, [score], Window(), 0)
