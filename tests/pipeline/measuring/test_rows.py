"""How a model's conversations are rendered is found out once for a model, and kept on the disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.measuring import rows
from pipeline.measuring.rows import cut_dialogues, template_of
from scorers.measures.reading.chat_format import MissingTemplateError
from scorers.measures.reading.dialogue import Dialogue
from tests.tiny_models import save_tiny_llama


@pytest.fixture(autouse=True)
def fixture_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loaded = rows.tokenizer_of
    yield
    loaded.cache_clear()


def test_a_tokenizer_is_loaded_once_for_a_model_a_template_and_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = rows.tokenizer_of

    def count(model: str) -> object:
        loaded.append(Path(model).name)
        return load(model)

    monkeypatch.setattr(rows, "tokenizer_of", count)
    one = str(save_tiny_llama(tmp_path / "one", chat_template=""))
    other = str(save_tiny_llama(tmp_path / "other", chat_template="{{ messages }}"))
    plain, chat = template_of(one, "plain"), template_of(other, "chat")
    assert loaded == ["one", "other"] and plain != chat
    assert (template_of(one, "plain"), template_of(other, "chat")) == (plain, chat)
    assert loaded == ["one", "other"]
    assert template_of(other, "plain") != chat and loaded == ["one", "other", "other"]
    monkeypatch.setattr(rows, "code_version", lambda: "another")
    assert template_of(other, "chat") == chat and len(loaded) == 4


def test_a_model_without_a_template_is_refused_each_time(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path / "one", chat_template=""))
    for _ in range(2):
        with pytest.raises(MissingTemplateError):
            template_of(model, "chat")
    assert template_of(model, "plain")


def test_long_conversations_are_rendered_with_few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "RENDERED_TOGETHER", 4)
    monkeypatch.setattr(rows, "RENDERED_CHARACTERS", 100)
    sizes = [30, 30, 30, 30, 90, 5, 500, 5, 5, 5, 5, 5]
    dialogues = [Dialogue([{"role": "user", "content": "x" * size}], (), [0]) for size in sizes]
    found = [[dialogue.characters for dialogue in some] for some in cut_dialogues(dialogues)]
    assert found == [[30, 30, 30], [30], [90, 5], [500], [5, 5, 5, 5], [5]]
    assert list(cut_dialogues([])) == []
