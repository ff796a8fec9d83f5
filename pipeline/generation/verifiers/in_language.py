"""in_language: the answer is in the language of its prompt, or in one that is named.

Told by py3langid, as the measure of languages does; an answer whose language cannot be told, as of
a number or a formula, passes only where that of the prompt cannot either, or with
`untold: keep`. Asks nothing.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pipeline.generation.maker import last_prompt_text
from pipeline.generation.verifier import VerifierBlock
from pipeline.measuring.measures.languages import tell_language
from storage.examples import Example


class InLanguage(VerifierBlock):
    """It is in the language of the prompt."""

    method: Literal["in_language"]
    code: str | None = Field(
        default=None,
        min_length=2,
        description="ISO 639 code of the language, as `en`; None: the prompt's.",
    )
    untold: Literal["keep", "drop"] = Field(
        default="keep", description="What becomes of answers whose language cannot be told."
    )

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        wanted = self.code or language_of(last_prompt_text(source))
        return [self._fault(wanted, language_of(text)) for text in texts]

    def _fault(self, wanted: str | None, found: str | None) -> str:
        if found is None or wanted is None:
            return "" if self.untold == "keep" else "untold_language"
        return "" if found == wanted else "other_language"


def language_of(text: str) -> str | None:
    """The code of a text's language, or None where it cannot be told."""
    language: str | None = tell_language(text, "response").get("language")
    return language
