"""A sentence-pair encoder small enough to train in a test, with random weights."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = 60
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WINDOW = 32


def save_tiny_encoder(path: Path, seed: int = 0) -> Path:
    """A model folder without an output, whose tokenizer knows the words "w0" to "w59"."""
    names = [*SPECIAL, *(f"w{at}" for at in range(WORDS))]
    words = Tokenizer(WordLevel({name: at for at, name in enumerate(names)}, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=WINDOW,
    )
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=len(names),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=WINDOW,
        )
    )
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
