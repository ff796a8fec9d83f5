"""Language models small enough to train in a test, with random weights and a toy tokenizer."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from scorers.measures.reading.chat_format import RenderedExample

VOCABULARY = 200
WINDOW = 256


def tiny_llama(seed: int = 0) -> PreTrainedModel:
    """2 layers of width 64, tied embeddings."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=WINDOW,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
        )
    )


def tiny_gemma(seed: int = 0) -> PreTrainedModel:
    """1 layer whose logits are capped, so that its head cannot be applied apart."""
    torch.manual_seed(seed)
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=WINDOW,
            final_logit_softcapping=0.05,
            initializer_range=0.5,
        )
    )


CHAT = (
    "{% for message in messages %}1{{ ' ' if message.role == 'user' else ' 2 ' }}"
    "{{ message.content }} 3 {% endfor %}{% if add_generation_prompt %}1 2 {% endif %}"
)
"""A chat template in words of the toy tokenizer: 2 opens an answer, 3 ends a turn."""


def save_tiny_llama(path: Path, seed: int = 0, chat_template: str | None = None) -> Path:
    """A model folder whose tokenizer knows the words "0" to "199", divided by blanks."""
    words = Tokenizer(WordLevel({str(at): at for at in range(VOCABULARY)}, unk_token="0"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, unk_token="0", eos_token="0", model_max_length=WINDOW
    )
    tokenizer.chat_template = chat_template
    tiny_llama(seed).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def count_up(start: int, prompt: int, response: int) -> RenderedExample:
    """A row that can be learnt: each token is the one before it plus one."""
    ids = [(start + at) % VOCABULARY for at in range(prompt + response)]
    return RenderedExample(ids[:prompt], ids[prompt - 1 : prompt], ids[prompt:])
