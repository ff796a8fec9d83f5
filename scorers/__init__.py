"""Scorers: pure functions from what is stored to one number per example. Higher is kept first.

To add one: write scorers/NAME.py and tests/scorers/test_NAME.py, and add its line to SCORERS.

Exceptions; a number is the exit code of a command that one ends:

    ValueError
    ├── NotConvergedError      2  a transport was not solved in its turns (got_d.py)
    ├── MissingTemplateError   2  a model has no chat template, and one is to be used
    │                             (measures/reading/chat_format.py)
    ├── FormRefusedError       2  a server takes no such form of an answer
    │                             (measures/endpoint/client.py)
    ├── UnusableModelError     5  a model's folder is broken, or asks for what is never done
    │                             (measures/models/model_folder.py)
    ├── RenderingError            a template cannot write a conversation
    │                             (measures/reading/chat_format.py)
    └── UnfixedDateError       2  a chat template writes today's date and cannot be kept from it
                                  (measures/reading/fixed_date.py)
    NotImplementedError
    └── UnknownAttentionError     an attention that no pack can do
                                  (measures/reading/packed_attention.py)
    TemplateRuntimeError
    └── BeyondBoundsError         a chat template does more than any needs to
                                  (measures/reading/template_bounds.py)
    RuntimeError
    ├── MissingModelError      5  a model is not there (measures/models/loading.py)
    └── ServerLostError        5  a server went away, or refuses everything
                                  (measures/endpoint/client.py)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature

from scorers.arrays import Floats
from scorers.cappy import score_cappy
from scorers.code_share import score_code_share
from scorers.confidence import score_confidence
from scorers.context_dependency import score_context_dependency
from scorers.deita import score_deita
from scorers.digit_share import score_digit_share
from scorers.duplicate_lines import score_duplicate_lines
from scorers.duplicate_ngrams import score_duplicate_ngrams
from scorers.el2n import score_el2n
from scorers.end_of_turn_loss import score_end_of_turn_loss
from scorers.entropy import score_entropy
from scorers.got_d import score_got_d
from scorers.grape import score_grape
from scorers.ifd import score_ifd
from scorers.ifd_perplexity import score_ifd_perplexity
from scorers.less import score_less
from scorers.mtld import score_mtld
from scorers.names import did_you_mean
from scorers.perplexity import score_perplexity
from scorers.preference import score_preference
from scorers.prompt_copying import score_prompt_copying
from scorers.prompt_response_similarity import score_prompt_response_similarity
from scorers.rating import score_rating
from scorers.refusal_phrases import score_refusal_phrases
from scorers.response_length import score_response_length
from scorers.s2l_cluster import score_s2l_cluster
from scorers.sftmix_class import score_sftmix_class
from scorers.sftmix_confidence import score_sftmix_confidence
from scorers.special_characters import score_special_characters
from scorers.tag_count import score_tag_count
from scorers.terminal_punctuation import score_terminal_punctuation
from scorers.type_token_ratio import score_type_token_ratio
from scorers.words_per_line import score_words_per_line

EXAMPLE_ID = "example_id"
"""What a scorer reads that has to tell equal rows apart."""

TEXT = "text"
"""What a scorer reads that takes any one text of an example: the one a recipe names by `of`."""

PROMPT = "prompt"
RESPONSE = "response"
"""What a scorer reads that takes these texts and no other."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A scoring function and what the pipeline must know to call it."""

    function: Callable[..., Floats]
    reads: tuple[str, ...]
    """Columns of its measure, texts (TEXT, PROMPT, RESPONSE) or EXAMPLE_ID, in the order of the
    function's parameters."""
    unit: str
    version: int = 1
    """Raised whenever the same input may give another number; old scores are then kept apart."""
    measure: str = ""
    """The measure whose rows it reads; empty: it reads texts, which need no measuring."""
    whole_pool: bool = False
    """Whether a row's value depends on the other rows: then new rows mean scoring all again."""
    blocks: tuple[str, ...] = ()
    """Blocks of its measure that it reads together; `reads` then has a column of each, called by
    the block before it, as `prompt_embedding`."""
    targets: tuple[str, ...] = ()
    """Columns of the rows to be close to, passed after the others as `target_NAME`. `source` is
    the number of the source a target stands in, and a target of two sources is passed twice."""


SCORERS: dict[str, Scorer] = {
    "cappy": Scorer(score_cappy, ("correctness",), "none", measure="cappy"),
    "code_share": Scorer(score_code_share, (TEXT,), "share of characters"),
    "confidence": Scorer(
        score_confidence,
        ("contradiction_forward", "contradiction_backward", "exact_match", "reflection"),
        "probability",
        measure="judgements",
    ),
    "context_dependency": Scorer(
        score_context_dependency,
        ("all_turns", "current_turn", "all_turns_of_means", "current_turn_of_means"),
        "share of attention",
        measure="context",
    ),
    "deita": Scorer(
        score_deita,
        ("complexity", "complexity_mass", "quality", "quality_mass"),
        "squared marks",
        measure="turn_ratings",
    ),
    "digit_share": Scorer(score_digit_share, (TEXT,), "share of characters, negated"),
    "duplicate_lines": Scorer(score_duplicate_lines, (TEXT,), "share of characters, negated"),
    "duplicate_ngrams": Scorer(score_duplicate_ngrams, (TEXT,), "share of characters, negated"),
    "el2n": Scorer(score_el2n, ("mean_el2n",), "length of p - y", measure="losses"),
    "end_of_turn_loss": Scorer(
        score_end_of_turn_loss, ("turn_stop_nll",), "nats", measure="losses"
    ),
    "entropy": Scorer(score_entropy, ("mean_entropy",), "nats per token", measure="losses"),
    "got_d": Scorer(
        score_got_d,
        ("embedding",),
        "calibrated potential",
        measure="embeddings",
        whole_pool=True,  # the transport weighs every row against all others
        targets=("embedding",),
    ),
    "grape": Scorer(score_grape, ("mean_nll",), "nats per token", measure="losses"),
    "ifd": Scorer(score_ifd, ("mean_nll", "mean_nll_alone"), "ratio", measure="losses"),
    "ifd_perplexity": Scorer(
        score_ifd_perplexity, ("mean_nll", "mean_nll_alone"), "ratio", measure="losses"
    ),
    "less": Scorer(
        score_less,
        ("gradient", "rates"),
        "cosine",
        measure="gradients",
        targets=("gradient", "source"),
    ),
    "mtld": Scorer(score_mtld, (TEXT,), "words"),
    "perplexity": Scorer(score_perplexity, ("mean_nll",), "perplexity", measure="losses"),
    "preference": Scorer(
        score_preference, ("verdicts", "verdict_mass"), "probability", measure="preferences"
    ),
    "prompt_copying": Scorer(
        score_prompt_copying, (PROMPT, RESPONSE), "share of characters, negated"
    ),
    "prompt_response_similarity": Scorer(
        score_prompt_response_similarity,
        ("prompt_embedding", "response_embedding"),
        "cosine",
        measure="embeddings",
        blocks=("prompt", "response"),
    ),
    "rating": Scorer(score_rating, ("probabilities", "marks", "mass"), "mark", measure="ratings"),
    "refusal_phrases": Scorer(score_refusal_phrases, (TEXT,), "phrases, negated"),
    "response_length": Scorer(
        score_response_length, ("response_tokens",), "tokens", measure="token_counts"
    ),
    "s2l_cluster": Scorer(
        score_s2l_cluster, ("trajectory",), "label", measure="trajectories", whole_pool=True
    ),
    "sftmix_class": Scorer(
        score_sftmix_class,
        ("trajectory", EXAMPLE_ID),
        "label",
        measure="trajectories",
        whole_pool=True,  # the median that parts the halves is the pool's
    ),
    "sftmix_confidence": Scorer(
        score_sftmix_confidence, ("trajectory",), "perplexity, negated", measure="trajectories"
    ),
    "special_characters": Scorer(score_special_characters, (TEXT,), "share of characters, negated"),
    "tag_count": Scorer(score_tag_count, ("tag_count",), "tags", measure="tags"),
    "terminal_punctuation": Scorer(score_terminal_punctuation, (TEXT,), "share of lines"),
    "type_token_ratio": Scorer(score_type_token_ratio, (TEXT,), "ratio"),
    "words_per_line": Scorer(score_words_per_line, (TEXT,), "words", version=2),
}


def _checked(name: str, value: object, kind: type) -> object:
    """Return the value as the kind the signature asks for; an int may stand for a float."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # not isinstance: True is no number here
        raise ValueError(f"{name} must be {kind.__name__}, got {value!r}")
    return value


def scorer_settings(scorer: Scorer, given: Mapping[str, object]) -> dict[str, object]:
    """Complete the given settings of a scorer with its defaults.

    Args:
        scorer: From SCORERS. Its settings are the keyword-only parameters of its function.
        given: Values by name, as a recipe has them.

    Returns:
        Every setting by name, in the order of the names: what is stored beside each score.

    Raises:
        ValueError: if a name is unknown, or a value is of another type than the parameter.
    """
    parameters = signature(scorer.function).parameters.values()
    settings = {p.name: p for p in parameters if p.kind is Parameter.KEYWORD_ONLY}
    for name in given:
        if name not in settings:
            raise ValueError(f"no setting named {name!r}. {did_you_mean(name, settings)}")
    return {
        name: _checked(name, given.get(name, settings[name].default), settings[name].annotation)
        for name in sorted(settings)
    }
