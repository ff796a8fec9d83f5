"""The verifiers that `verify:` can name. What each looks at is in its own file."""

from typing import Annotated

from pydantic import Field

from pipeline.generation.verifiers.code import Code
from pipeline.generation.verifiers.constraints import Constraints
from pipeline.generation.verifiers.entailed import Entailed
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.generation.verifiers.in_language import InLanguage
from pipeline.generation.verifiers.judged import Judged
from pipeline.generation.verifiers.majority import Majority
from pipeline.generation.verifiers.rubric import Rubric
from pipeline.generation.verifiers.tool_calls import ToolCalls
from pipeline.generation.verifiers.tool_results import ToolResults
from pipeline.generation.verifiers.uncontaminated import Uncontaminated

Verifier = Annotated[
    FinalAnswer
    | Majority
    | Judged
    | Entailed
    | Rubric
    | Code
    | ToolCalls
    | ToolResults
    | Constraints
    | InLanguage
    | Uncontaminated,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
