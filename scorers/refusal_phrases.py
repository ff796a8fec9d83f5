"""Refusal phrases: how often a text declines, or says that it comes from a machine.

    refusal_phrases_i = - sum over p of count(p in text_i)

p runs over the phrases listed below, of English, German, French, Spanish and Chinese: REFUSALS,
such as "I cannot assist with", and, unless `self_references` is false, SELF_REFERENCES, such as "as
an AI". They are compared as words (scorers/words.py), so that case, punctuation and the kind of
apostrophe do not matter, and "as an aide" is no "as an AI". 0: none of them; -2: two, which may
stand in one sentence. Higher is kept first: the texts that answer.

For rows that another model answered, whose refusals teach the next one to refuse: keep with
`at_least: 0`, or look at what lies below. Not for data that shall teach when to decline, nor for
texts about AI or in which people apologise: a phrase is a sign and no proof. Other languages have
no list and so no hits. Costs no model. An empty text has 0, for it refuses nothing.

Telling refusals by phrases: Zou et al. 2023, arXiv:2307.15043, whose list is another; what phrases
miss: Röttger et al. 2023, XSTest, arXiv:2308.01263.
"""

from functools import cache

import numpy as np

from scorers.arrays import Floats, Strings
from scorers.words import split_words

UNABLE = """I can't; I cannot; I can not; I'm unable to; I am unable to; I'm not able to;
    I am not able to"""
TO_ANSWER = """answer; assist; comply; engage in; fulfil; fulfill; generate; help with;
    help you with; provide"""


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split(";"))


REFUSALS = (
    *(f"{unable} {answer}" for unable in _phrases(UNABLE) for answer in _phrases(TO_ANSWER)),
    *_phrases(  # English
        """I'm sorry, but I; I am sorry, but I; I apologize, but I; I apologise, but I;
        I must decline; I have to decline; against my guidelines; against my programming"""
    ),
    *_phrases(  # German
        """es tut mir leid, aber ich; tut mir leid, aber ich; dabei kann ich nicht helfen;
        dabei kann ich Ihnen nicht helfen; dabei kann ich dir nicht helfen;
        ich bin nicht in der Lage"""
    ),
    *_phrases(  # French
        """je suis désolé, mais je; désolé, mais je; je ne peux pas vous aider;
        je ne peux pas t'aider; je ne suis pas en mesure de"""
    ),
    *_phrases(  # Spanish
        """lo siento, pero no puedo; no puedo ayudarte con; no puedo ayudarle con;
        no puedo proporcionar"""
    ),
    *_phrases(
        "抱歉我无法; 抱歉我不能; 抱歉但我无法; 抱歉但我不能; 我无法提供; 我不能提供"
    ),  # Chinese
)

SELF_REFERENCES = (
    *_phrases(  # English
        """as an AI; I'm an AI; I am an AI; I'm just an AI; I am just an AI; as a language model;
        as a large language model; I'm a language model; I am a language model;
        I'm a large language model; I am a large language model; my knowledge cutoff;
        my last knowledge update; I don't have personal opinions;
        I do not have personal opinions; I don't have personal experiences;
        I do not have personal experiences; I don't have access to real-time;
        I do not have access to real-time"""
    ),
    *_phrases("als KI; als künstliche Intelligenz; als Sprachmodell; als großes Sprachmodell"),
    *_phrases("en tant qu'IA; en tant qu'intelligence artificielle; en tant que modèle de langage"),
    *_phrases(  # Spanish
        "como IA; como inteligencia artificial; como modelo de lenguaje; como un modelo de lenguaje"
    ),
    *_phrases(  # Chinese
        "作为AI; 作为一个AI; 作为人工智能; 作为一个人工智能; 作为一个语言模型; 作为语言模型"
    ),
)


def _as_words(text: str) -> str:
    return f" {' '.join(split_words(text))} "  # between spaces: phrases are found as whole words


@cache  # makers ask about one text at a time, and splitting them takes longer than finding them
def _phrases_as_words(self_references: bool) -> tuple[str, ...]:
    return tuple(map(_as_words, (*REFUSALS, *(SELF_REFERENCES if self_references else ()))))


def score_refusal_phrases(text: Strings, *, self_references: bool = True) -> Floats:
    """Score each text by how few phrases it has that decline or speak of a model.

    Args:
        text: (n,) texts.
        self_references: Whether phrases in which a model speaks of itself count too.

    Returns:
        (n,) phrases, negated: 0 or less.
    """
    phrases = _phrases_as_words(self_references)
    counts = [sum(map(_as_words(each).count, phrases)) for each in text]
    return 0.0 - np.array(counts, dtype=np.float64)  # not -x, which turns 0 into -0
