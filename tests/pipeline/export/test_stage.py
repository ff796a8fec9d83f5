from pathlib import Path

from pipeline.export.stage import identify_model
from pipeline.measuring.measures.token_counts import TokenCounts
from tests.tiny_models import CHAT, save_tiny_llama


def test_a_model_is_named_as_the_recipe_names_it_wherever_that_is_run(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "model", chat_template=CHAT)
    tokens = TokenCounts(model=str(folder))
    identity = identify_model(tokens, "./model")
    assert identity.reference == "./model"
    assert identity.tokenizer_fingerprint == tokens.key().model_fingerprint
