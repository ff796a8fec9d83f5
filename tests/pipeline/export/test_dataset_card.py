from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from pipeline.export.dataset_card import (
    FEATURES,
    ControlFacts,
    ExportFacts,
    WrittenCounts,
    license_matter,
    size_bucket,
    write_card,
)
from pipeline.export.shards import SCHEMA
from storage.exports_manifest import ModelIdentity, SourceCounts, SplitCounts, TemplateFaults
from storage.runs import StageCount
from tests.pipeline.text.test_markdown import kinds

COUNTS = WrittenCounts(
    splits={
        "train": SplitCounts(rows=1_200, prompt_tokens=30_000, loss_tokens=45_678),
        "validation": SplitCounts(rows=34, prompt_tokens=5, loss_tokens=6),
    },
    sources=[
        SourceCounts(source="a|b.jsonl", license="Apache-2.0", rows=1_000),
        SourceCounts(source="c.jsonl", license="CC BY-NC 4.0", rows=234),
    ],
    arrow_bytes={"train": 900, "validation": 100},
    parquet_bytes=400,
)
FACTS = ExportFacts(
    name='Maths: "best" rows',
    selection_id="sel-9",
    run_id="run-8",
    recipe={},
    recipe_hash="h",
    seed=3,
    model=ModelIdentity(
        reference="wheel:small",
        fingerprint="f",
        tokenizer_fingerprint="t",
        template="chat",
        template_fingerprint="c",
    ),
    max_length=2_048,
    languages={"en": 1_234},
    funnel=[
        StageCount("ingest", 0, "ingest", rows_in=5_000, kept=4_990, quarantined={"no answer": 10}),
        StageCount(
            "dedupe",
            1,
            "near",
            rows_in=4_990,
            kept=1_234,
            dropped={"duplicate": 3_756},
            notes=["near: took 3,000 of the 3,100 rows of b.jsonl"],
        ),
    ],
    steps=["Highest IFD first."],
    controls=[ControlFacts("random", 1_200, 45_001)],
    limits=["English only."],
)


def front_matter(card: str) -> dict[str, Any]:
    _, matter, _ = card.split("---\n", 2)
    parsed: dict[str, Any] = yaml.safe_load(matter)
    return parsed


def test_the_front_matter_says_what_was_written() -> None:
    matter = front_matter(write_card(FACTS, COUNTS))
    assert matter["pretty_name"] == 'Maths: "best" rows'
    assert matter["language"] == ["en"]
    assert matter["license"] == "other"
    assert matter["license_name"] == "apache-2.0, cc-by-nc-4.0"
    assert matter["size_categories"] == ["1K<n<10K"]
    assert matter["configs"][0]["data_files"] == [
        {"split": "train", "path": "data/train-*"},
        {"split": "validation", "path": "data/validation-*"},
    ]
    info = matter["dataset_info"]
    assert info["splits"] == [
        {"name": "train", "num_bytes": 900, "num_examples": 1_200},
        {"name": "validation", "num_bytes": 100, "num_examples": 34},
    ]
    assert (info["download_size"], info["dataset_size"]) == (400, 1_000)


def test_the_measured_languages_stand_in_both_parts() -> None:
    card = write_card(replace(FACTS, languages={"de": 2, "en": 9, "": 1}), COUNTS)
    assert front_matter(card)["language"] == ["en", "de"]
    line = "Rows by measured language: en 9, de 2, none that could be told 1."
    assert line in card.splitlines()


def test_notes_of_steps_stand_below_the_funnel() -> None:
    said = "2 of the budget's 5 rows are not spent: every row is taken"
    step = StageCount("select", 1, "top_k()", rows_in=3, kept=3, notes=[said])
    lines = write_card(replace(FACTS, funnel=[step]), COUNTS).splitlines()
    at = lines.index("| select: top_k() | 3 | 0 | 3 | 0 | 0 |")
    assert lines[at + 1 : at + 3] == ["", f"- {said}"]


def test_the_hub_reads_it() -> None:
    card = DatasetCard(write_card(FACTS, COUNTS))
    assert vars(card.data)["license_name"] == "apache-2.0, cc-by-nc-4.0"


def test_its_features_are_the_columns_of_the_files() -> None:
    assert [feature["name"] for feature in FEATURES] == SCHEMA.names


def test_the_body_holds_the_books_of_the_run() -> None:
    card = write_card(FACTS, COUNTS)
    for line in (
        "| train | 1,200 | 30,000 | 45,678 |",
        "| a\\|b.jsonl | Apache-2.0 | 1,000 |",
        "| ingest | 5,000 | 0 | 4,990 | 0 | no answer 10 |",
        "| dedupe: near | 4,990 | 0 | 1,234 | duplicate 3,756 | 0 |",
        "- near: took 3,000 of the 3,100 rows of b.jsonl",
        "| random | 1,200 | 45,001 |",
        "- Highest IFD first.",
        "- English only.",
    ):
        assert line in card.splitlines()
    assert "`sel-9`" in card and "`run-8`" in card and "2,048 tokens" in card


def test_what_is_not_known_is_not_claimed() -> None:
    bare = ExportFacts("x", "s", "r", {}, "h", 0, FACTS.model, None)
    card = write_card(bare, COUNTS)
    assert "language" not in front_matter(card)
    assert "## What became of the rows\n\nNot recorded." in card
    assert "## Controls" not in card and "## Known limits" not in card


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (["Apache-2.0", "apache 2.0"], {"license": "apache-2.0"}),
        (["CC BY-SA 3.0"], {"license": "cc-by-sa-3.0"}),
        ([None, ""], {"license": "unknown"}),
        (["House rules"], {"license": "other", "license_name": "House rules"}),
        (["mit", None], {"license": "other", "license_name": "mit, unknown"}),
    ],
)
def test_the_licence_is_that_of_every_source(
    stated: list[str | None], expected: dict[str, str]
) -> None:
    sources = [SourceCounts(source="s", license=name, rows=1) for name in stated]
    found = license_matter(sources)
    assert {key: value for key, value in found.items() if key != "license_link"} == expected
    assert ("license_link" in found) == (expected["license"] == "other")


@pytest.mark.parametrize(
    ("rows", "name"),
    [(1, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (5_000_000, "1M<n<10M")],
)
def test_size_buckets_begin_at_their_lower_end(rows: int, name: str) -> None:
    assert size_bucket(rows) == name


def test_what_the_template_does_not_write_as_it_is_stands_in_it() -> None:
    faults = TemplateFaults(
        refused={"no_header: it cannot": 2},
        placements={"in_place": 3, "rewritten": 1},
        unwritten={"system text": 4},
        unstopped=5,
    )
    card = write_card(replace(FACTS, template_faults=faults), COUNTS)
    section = card.split("## What the template does not write as it is\n\n")[1].split("\n\n")[0]
    assert section.splitlines() == [
        "- 2 rows failed: no_header: it cannot",
        "- 1 of 4 trained turns are rows of their own: the template writes them otherwise once "
        "others follow",
        "- the template leaves out the system text of 4 rows",
        "- 5 rows have a turn that ends without an end-of-text or end-of-turn token: a model "
        "trained on them does not learn to stop",
    ]
    assert "does not write as it is" not in write_card(FACTS, COUNTS)


def test_names_and_licences_of_others_are_no_markup_of_the_card() -> None:
    bad = "x\n---\nlicense: mit\n---\n# [free](http://evil.example) <img src=x> \x1b]0;t\x07`"
    facts = replace(
        FACTS,
        name=bad,
        steps=[bad],
        generators=[bad],
        funnel=[StageCount("ingest", 1, bad, rows_in=1, kept=0, dropped={bad: 1}, notes=[bad])],
        model=FACTS.model.model_copy(update={"reference": bad}),
        controls=[ControlFacts(bad, 1, 1)],
    )
    card = write_card(
        facts, replace(COUNTS, sources=[SourceCounts(source=bad, license=bad, rows=1)])
    )
    matter = front_matter(card)
    spelled = bad.replace("\n", " ").replace("\x1b", r"\u001b").replace("\x07", r"\u0007")
    assert (matter["license"], matter["pretty_name"]) == ("other", spelled)
    assert "\n" not in matter["license_name"] and "\x1b" not in card
    body = DatasetCard(card).text
    found = kinds(body)
    links = {"link_open", "image", "html_inline", "html_block", "hr"}
    assert not found & links and body.count("\n# ") + body.startswith("# ") == 1
