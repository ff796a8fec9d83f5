"""Trained weights as files; the same weights give the same bytes."""

from pathlib import Path

import orjson
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fine_tune.experts import name_as_experts, routers


def write_weights(model: PreTrainedModel | PeftModel, tokenizer: object, folder: Path) -> None:
    """Write an adapter or a model, and its tokenizer."""
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise TypeError(f"expected a tokenizer, got {type(tokenizer).__name__}")
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    if not isinstance(model, PeftModel):
        return
    (folder / "README.md").unlink()  # a form that nobody has filled in
    # peft writes a set there, in another order in each process.
    config = folder / "adapter_config.json"
    fields = orjson.loads(config.read_bytes())
    fields["target_modules"] = sorted(fields["target_modules"])
    config.write_bytes(orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    if routers(model):
        name_as_experts(folder)
