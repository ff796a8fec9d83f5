"""The tokens of a row beside what was measured of them: each text stands at its own number."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pipeline.viewing.opened_run import OpenedRun
from pipeline.viewing.token_losses import read_token_losses, shade_of, token_texts
from storage.database import read_workspace
from storage.examples import read_examples
from tests.exported_workspace import export_workspace
from tests.stage_runner import store_measurement


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of bytes: a character that is none of ASCII has several tokens."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    reader = Tokenizer(
        models.BPE(vocab={each: at for at, each in enumerate(sorted(letters))}, merges=[])
    )
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=reader)  # type: ignore[no-untyped-call]


def test_the_texts_of_tokens_are_the_text() -> None:
    reader = byte_tokenizer()
    for text in ("plain words", "né 😀 日本", "a\n\tb", "😀😀"):
        ids = reader(text)["input_ids"]
        texts = list(token_texts(reader, ids))
        assert len(texts) == len(ids) == len(text.encode())
        assert "".join(texts) == text
    broken = reader("😀")["input_ids"][:2]  # a model may have been cut off within a character
    assert "".join(token_texts(reader, broken)).strip("\ufffd") == ""


def test_each_token_has_its_own_losses(tmp_path: Path) -> None:
    run, _ = export_workspace(tmp_path)
    with read_workspace(run.workspace) as con:
        ((one,),) = con.execute(
            "select example_id from examples where response = '25 11'"
        ).fetchall()
        (example,) = read_examples(con, [one])
    words = [*example.response.split()]
    nll = [float(each) for each in words] + [0.5]  # and the end of the turn
    columns = {
        "state": pa.array(["ok"]),
        "nll": pa.array([nll], pa.list_(pa.float32())),
        "nll_alone": pa.array([[n + 1 for n in nll]], pa.list_(pa.float32())),
    }
    run = store_measurement(run, "losses", [one], columns)
    model = run.measures["token_counts"].model
    recipe = {"measure": {"losses": {"model": model, "template": "chat"}}}
    opened = SimpleNamespace(measures=run.measures, described=SimpleNamespace(recipe=recipe))
    with read_workspace(run.workspace) as con:
        found = read_token_losses(con, cast(OpenedRun, opened), one)
    assert found.why_not == ""
    told = {each.text.strip(): (each.nll, each.nll_alone) for each in found.tokens}
    assert told["25"] == (25, 26) and told["11"] == (11, 12)
    opened.measures = {**run.measures, "losses": replace(run.measures["losses"], settings={})}
    with read_workspace(run.workspace) as con:
        assert "not_measured" in read_token_losses(con, cast(OpenedRun, opened), one).why_not


def test_shades_go_from_sure_to_surprised() -> None:
    shades = [shade_of(n) for n in (-1.0, 0.0, 4.0, 8.0, float("1e9"))]
    assert shades == [0, 0, 5, 10, 10] and np.all(np.diff(shades) >= 0)
