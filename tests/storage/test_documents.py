"""Passages as makers are given them: each once, in the order that is asked for."""

from pathlib import Path

import pytest

from storage.database import read_workspace
from storage.documents import read_source_passages, stream_source_passages
from tests.scripted_maker import PAGES, begin, write_pages


def test_passages_come_by_id_and_in_the_order_asked_for(tmp_path: Path) -> None:
    run, _ = begin(tmp_path, write_pages(tmp_path))
    with read_workspace(run.workspace) as con:
        streamed = [each for some in stream_source_passages(con, run.cut_ids, 2) for each in some]
        ids = [each.passage_id for each in streamed]
        assert len(ids) == 3 and ids == sorted(ids)
        assert read_source_passages(con, run.cut_ids, ids[::-1]) == streamed[::-1]
        assert not list(stream_source_passages(con, [], 2))
        with pytest.raises(ValueError, match="2 passages were asked for, 1 found"):
            read_source_passages(con, run.cut_ids, [ids[0], "f" * 32])
    whole = "\n".join(PAGES)
    assert {whole[each.start_at : each.end_at] for each in streamed} == {
        each.text for each in streamed
    }
    assert {tuple(each.headings) for each in streamed} == {("Rivers",), ("Bread",), ("Planets",)}


def test_a_passage_of_two_cuts_is_given_once(tmp_path: Path) -> None:
    run, _ = begin(tmp_path, write_pages(tmp_path))
    from storage.database import open_workspace

    with open_workspace(run.workspace) as con:
        con.execute("insert into document_cuts select 'other', * exclude cut_id from document_cuts")
        con.execute("insert into passages select 'other', * exclude cut_id from passages")
        found = [*stream_source_passages(con, [*run.cut_ids, "other"], 9)]
    assert len(found[0]) == 3
