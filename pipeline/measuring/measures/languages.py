"""Languages: which language an example is in, and how sure that is.

    confidence(l) = P(l | byte n-grams of the text), from 0 to 1, over 139 languages

A naive Bayes model over byte n-grams tells it, `py3langid` 0.4, with the model that the package
carries; no other model is asked. Codes are of ISO 639-1 where there is one, else of 639-3: "en",
"yue". A text whose best language has a confidence below 0.5, as of a word or a formula, and one of
code or digits ("zxx"), has none: its state is `not_applicable`. There is no guess.

Use it to keep a set to the languages it is for. The text is judged as a whole, so do not use it to
find a foreign sentence in a long answer; and look at what it drops, for names and quotations count
as what they are written in. `lingua` 2.1 was tried beside it: of the first 2 000 rows of Alpaca,
nearly all of them English, it took 26 for another language and this one 9, in a twentieth of the
time and without 1.2 GB of memory.

A thousand rows take half a second. Lui and Baldwin 2012, "langid.py: an off-the-shelf language
identification tool", ACL 2012 system demonstrations.
"""

from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.measure import ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.measures.embeddings import example_texts
from pipeline.measuring.rows import answer_table
from pipeline.settings import Settings
from storage.conversations import TextField
from storage.measurements import MeasureKey

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

FIELDS = [pa.field("language", pa.string()), pa.field("confidence", pa.float64())]

VERSION = 1

LEAST = 0.5
"""Confidence below which a text is not said to have a language."""

NO_LANGUAGE = "zxx"  # of ISO 639-2, for a text in no language


@lru_cache(maxsize=1)
def load_identifier() -> "LanguageIdentifier":
    """The identifier with the model of its package, loaded once per process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


class Languages(Settings, ExampleInputs):
    """The language of each example, and how sure that is."""

    of: TextField = Field(default="both", description="Which text is judged.")

    def key(self) -> MeasureKey:
        """The identifier's version, and the text."""
        return MeasureKey(
            measure="language",
            model="py3langid",
            model_fingerprint=f"py3langid {version('py3langid')}",
            template_fingerprint="",
            settings={"version": VERSION, "of": self.of, "least": LEAST},
        )

    def measure(self, examples: pa.Table) -> pa.Table:
        """Judge each text."""
        texts = example_texts(examples.to_pylist(), self.of)
        return answer_table(examples, [tell_language(text, self.of) for text in texts], FIELDS)


def tell_language(text: str, of: str) -> dict[str, Any]:
    """The language of one text, or why it has none."""
    if not text.strip():
        return {"state": "not_applicable", "detail": f"no {of} text"}
    code, confidence = load_identifier().classify(text.encode("utf-8", "replace"))
    if confidence < LEAST:
        return {"state": "not_applicable", "detail": "too little to tell by"}
    if code == NO_LANGUAGE:
        return {"state": "not_applicable", "detail": "no language: code or digits"}
    return {"state": "ok", "language": str(code), "confidence": float(confidence)}


def plan_languages(block: Languages, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of all examples."""
    return {"language": scope.job(block)}
