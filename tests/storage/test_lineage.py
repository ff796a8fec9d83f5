"""A row that was edited stands where the row stands that it was made from, and nowhere else."""

import pytest

from storage.conversations import Conversation
from storage.database import Connection
from storage.examples import (
    Attempt,
    MadeBy,
    read_first_sources,
    read_makers,
    read_origins,
    write_attempts,
    write_edited,
)
from storage.licenses import read_licenses
from storage.pool_columns import read_pool_sources, register_pool
from storage.sources import ReadRow, Source, add_source, write_rows

SOURCES = ("a", "m", "z")


def talk(text: str) -> Conversation:
    return Conversation(
        [{"role": "user", "content": "q " + text}, {"role": "assistant", "content": text}]
    )


def store(con: Connection, source: str, rows: dict[int, str]) -> None:
    add_source(con, Source(source, f"{source}.jsonl", None, None, f"licence {source}", source, 1))
    read = [ReadRow(position, talk(text), "messages") for position, text in rows.items()]
    write_rows(con, source, read, [])


@pytest.fixture
def ids(con: Connection) -> dict[str, str]:
    """Text → id: given rows, and what was made from them."""
    store(con, "a", {1: "other", 2: "own parent"})
    store(con, "m", {4: "given", 7: "answered"})
    store(con, "z", {3: "given", 9: "own"})
    made = {
        "redacted": ("redacted", "given"),
        "indicated": ("indicated", "redacted"),
        "own": ("redacted", "own parent"),
    }
    found = {t: talk(t).example_id for t in ("other", "own parent", "given", "answered")}
    for text, (method, parent) in made.items():
        edited = [(found[parent], talk(text))]
        (found[text],) = write_edited(con, method, edited, MadeBy("key", "{}", "run"))  # type: ignore[arg-type]
    attempt = Attempt(found["answered"], 0, talk("generated"), "")
    write_attempts(con, [attempt], MadeBy("generation", "{}", "run", "the maker"))
    found["generated"] = talk("generated").example_id
    (found["marked"],) = write_edited(
        con, "indicated", [(found["generated"], talk("marked"))], MadeBy("key", "{}", "run")
    )
    return found


PLACES = {
    "other": ("a", 1),
    "given": ("m", 4),
    "redacted": ("m", 4),
    "indicated": ("m", 4),
    "own": ("z", 9),  # it stands there itself, whatever it was also made from
    "generated": None,
    "marked": None,
}


def test_the_first_source_of_an_edited_row_is_its_parents(
    con: Connection, ids: dict[str, str]
) -> None:
    found = read_first_sources(con, list(ids.values()), SOURCES)
    for text, place in PLACES.items():
        expected = place and (place[0], f"{place[0]}.jsonl", f"licence {place[0]}", place[1])
        assert found.get(ids[text]) == expected, text


def test_of_a_run_only_its_own_sources_count(con: Connection, ids: dict[str, str]) -> None:
    found = read_first_sources(con, [ids["redacted"], ids["other"]], ("z",))
    assert {each: place[::3] for each, place in found.items()} == {ids["redacted"]: ("z", 3)}


def test_a_pool_says_the_same_source(con: Connection, ids: dict[str, str]) -> None:
    asked = [ids[text] for text in PLACES]
    register_pool(con, asked)
    paths, licenses = read_pool_sources(con, SOURCES, len(asked))
    places = [place[0] if place else None for place in PLACES.values()]
    assert paths.tolist() == [f"{p}.jsonl" if p else "generated" for p in places]
    assert licenses.tolist() == [f"licence {p}" if p else "generated" for p in places]


def test_the_origin_is_the_prompt_before_the_edits(con: Connection, ids: dict[str, str]) -> None:
    found = read_origins(con, list(ids.values()))
    for text, root in {
        "given": "given",
        "redacted": "given",
        "indicated": "given",
        "own": "own parent",
        "generated": "generated",
        "marked": "generated",
    }.items():
        source = None if root == "generated" else found[ids[text]][0]
        assert found[ids[text]] == (source, talk(root).prompt_id), text
    assert found[ids["indicated"]][0] == "m"


def test_a_maker_is_of_what_was_generated_edited_or_not(
    con: Connection, ids: dict[str, str]
) -> None:
    found = read_makers(con, list(ids.values()))
    assert found == {ids["generated"]: "the maker", ids["marked"]: "the maker"}


def test_licences_are_those_of_every_source_or_else_of_what_it_was_made_from(
    con: Connection, ids: dict[str, str]
) -> None:
    found = read_licenses(con, list(ids.values()), SOURCES, "run")
    assert found[ids["indicated"]] == ["licence m", "licence z"] == found[ids["given"]]
    assert found[ids["own"]] == ["licence z"]
    assert found[ids["marked"]] == ["licence m"]
