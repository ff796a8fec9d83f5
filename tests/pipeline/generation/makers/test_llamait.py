"""LlamaIT: an entry that is shown stands on both sides of its pair, in the share asked for."""

from pathlib import Path

import pytest

from pipeline.generation.maker import Settled
from pipeline.generation.makers.llamait import LlamaIT, find_terms, read_glossary
from pipeline.ingest.rows import UnreadableSourceError
from scorers.words import split_words, stand_in_a_row
from storage.examples import Example
from tests.pipeline.generation.verifiers.given import row

GLOSSARY = "# bees\nhive\tBeute\n\nqueen cell\tWeiselzelle\nworker\tArbeiterin\n"

TERMS = [("hive", "Beute"), ("queen cell", "Weiselzelle"), ("worker", "Arbeiterin")]


def llamait(folder: Path, **fields: object) -> LlamaIT:
    (folder / "glossary.txt").write_text(GLOSSARY, encoding="utf-8")
    given = {"method": "llamait", "given": "English", "wanted": "German"}
    return LlamaIT.model_validate({**given, "glossary": "glossary.txt", **fields}).placed(folder)


def run(settings: LlamaIT, source: Example, seed: int = 0) -> Settled:
    making = settings.makings([source], seed)[source.example_id]
    with pytest.raises(StopIteration) as ended:
        next(making)
    (settled,) = ended.value.value
    assert isinstance(settled, Settled) and not settled.replies
    return settled


def said_in(settled: Settled) -> list[str]:
    assert settled.row is not None
    return [str(message["content"]) for message in settled.row.messages]


def test_a_row_is_a_request_with_the_entries_that_both_texts_have(tmp_path: Path) -> None:
    pair = row("Cut the QUEEN cell out of the hive, worker.", "Die Weiselzelle muss aus der Beute.")
    settled = run(llamait(tmp_path, terms_share=1), pair)
    assert said_in(settled) == [
        "Translate this from English into German, with these words: hive = Beute; queen cell = "
        f"Weiselzelle:\n\n{pair.prompt}",
        pair.response,
    ]
    assert settled.reason == "with_terms"
    for share, glossary in ((0, "glossary.txt"), (1, None)):
        plain = run(llamait(tmp_path, terms_share=share, glossary=glossary), pair)
        assert plain.reason == "plain"
        assert said_in(plain)[0] == f"Translate this from English into German:\n\n{pair.prompt}"


@pytest.mark.parametrize(
    ("given", "wanted", "found"),
    [
        ("A hive.", "Eine Beute.", ["hive"]),
        ("A beehive.", "Eine Beute.", []),  # "hive" is a part of a word
        ("A hive.", "Ein Bienenstock.", []),  # nor is this its translation
        ("A hive.", "Zwei Beuten.", []),  # nor this form of it
        ("The queen's cell.", "Die Weiselzelle.", []),  # not in a row
        ("Nothing.", "Beute, Weiselzelle, Arbeiterin.", []),
    ],
)
def test_words_are_compared_whole_and_on_both_sides(
    given: str, wanted: str, found: list[str]
) -> None:
    assert [term for term, _ in find_terms(given, wanted, TERMS)] == found


def test_the_share_is_of_the_rows_that_have_terms_and_follows_from_row_and_seed(
    tmp_path: Path,
) -> None:
    settings = llamait(tmp_path, terms_share=0.25)
    pairs = [row(f"Hive {n}.", f"Beute {n}.") for n in range(400)]
    told = [run(settings, pair).reason for pair in pairs]
    assert 70 < told.count("with_terms") < 130
    assert told[:50] == [run(settings, pair).reason for pair in pairs[:50]]
    assert told[:50] != [run(settings, pair, seed=1).reason for pair in pairs[:50]]
    for pair, reason in zip(pairs, told, strict=True):
        shown = said_in(run(settings, pair))[0].partition(" with these words: ")[2]
        assert bool(shown) == (reason == "with_terms")
        for entry in shown.partition(":\n\n")[0].split("; ") if shown else ():
            term, _, translation = entry.partition(" = ")
            assert stand_in_a_row(split_words(term), split_words(pair.prompt))
            assert stand_in_a_row(split_words(translation), split_words(pair.response))


def test_a_glossary_is_a_part_of_the_key_by_what_it_says(tmp_path: Path) -> None:
    settings = llamait(tmp_path)
    key = settings.key(0)
    (tmp_path / "same.txt").write_text(GLOSSARY, encoding="utf-8")
    assert llamait(tmp_path, glossary="same.txt").key(0) == key
    (tmp_path / "same.txt").write_text(GLOSSARY.replace("Beute", "Stock"), encoding="utf-8")
    assert llamait(tmp_path, glossary="same.txt").key(0) != key
    assert read_glossary(tmp_path / "glossary.txt") == TERMS


@pytest.mark.parametrize(
    "line", ["hive", "hive\t", "hive\tBeute\tStock", "hive = Beute", "\tBeute"]
)
def test_what_is_no_entry_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    settings = llamait(tmp_path)
    (tmp_path / "glossary.txt").write_text(f"# x\n{line}\n", encoding="utf-8")
    with pytest.raises(UnreadableSourceError, match="line 2: expected a term"):
        settings.require()
    with pytest.raises(UnreadableSourceError, match="cannot be read"):
        llamait(tmp_path, glossary="none.txt").require()


def test_pairs_are_taken_and_nothing_else(tmp_path: Path) -> None:
    settings = llamait(tmp_path)
    assert settings.takes(row("A hive.", "Eine Beute."))
    assert not settings.takes(row("A hive."))
    assert not settings.takes(row("A hive.", "Eine Beute.", [{"name": "now"}]))
