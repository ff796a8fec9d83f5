"""The makers that `generate:` can name. What each asks and makes is in its own file."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Tag

from pipeline.generation.maker_block import GeneratorBlock
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.answer_styles import AnswerStyles
from pipeline.generation.makers.apigen import APIGen
from pipeline.generation.makers.augcon import AugCon
from pipeline.generation.makers.constrained import Constrained
from pipeline.generation.makers.document_questions import DocumentQuestions
from pipeline.generation.makers.eda import EDA
from pipeline.generation.makers.edit_spans import EditSpans
from pipeline.generation.makers.evol_instruct import EvolInstruct
from pipeline.generation.makers.fuse_answers import FuseAnswers
from pipeline.generation.makers.genstruct import Genstruct
from pipeline.generation.makers.humpback import Humpback
from pipeline.generation.makers.lamini import LaMini
from pipeline.generation.makers.llamait import LlamaIT
from pipeline.generation.makers.magpie import Magpie
from pipeline.generation.makers.mcts_dpo import MCTSDPO
from pipeline.generation.makers.metacognition import Metacognition
from pipeline.generation.makers.orca import Orca
from pipeline.generation.makers.persona import Persona
from pipeline.generation.makers.pseudo_labels import PseudoLabels
from pipeline.generation.makers.r_tuning import RTuning
from pipeline.generation.makers.rejection import Rejection
from pipeline.generation.makers.repair import Repair
from pipeline.generation.makers.reverse_instructions import ReverseInstructions
from pipeline.generation.makers.round_trip import RoundTrip
from pipeline.generation.makers.s3ft import S3FT
from pipeline.generation.makers.scilitllm import SciLitLLM
from pipeline.generation.makers.self_guide import SelfGuide
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.makers.spin import SPIN
from pipeline.generation.makers.step_by_step import StepByStep
from pipeline.generation.makers.task_cards import TaskCards
from pipeline.generation.makers.translated_templates import TranslatedTemplates
from pipeline.generation.makers.verified import Verified


def generator_tag(block: object) -> str:
    """The method of a block; one without answers prompts."""
    if isinstance(block, Mapping):
        return str(block.get("method", "answer"))
    return str(getattr(block, "method", "answer"))


AnyMaker = (
    Answer
    | Repair
    | AnswerStyles
    | APIGen
    | AugCon
    | Constrained
    | DocumentQuestions
    | EDA
    | EditSpans
    | EvolInstruct
    | FuseAnswers
    | Genstruct
    | Humpback
    | LaMini
    | LlamaIT
    | Magpie
    | MCTSDPO
    | Metacognition
    | Orca
    | Persona
    | PseudoLabels
    | RTuning
    | Rejection
    | ReverseInstructions
    | RoundTrip
    | S3FT
    | SciLitLLM
    | SelfGuide
    | SelfInstruct
    | SPIN
    | StepByStep
    | TaskCards
    | TranslatedTemplates
    | Verified
)
"""The blocks that the engine runs."""

Generator = Annotated[
    Annotated[Answer, Tag("answer")]
    | Annotated[Repair, Tag("repair")]
    | Annotated[AnswerStyles, Tag("answer_styles")]
    | Annotated[APIGen, Tag("apigen")]
    | Annotated[AugCon, Tag("augcon")]
    | Annotated[Constrained, Tag("constrained")]
    | Annotated[DocumentQuestions, Tag("document_questions")]
    | Annotated[EDA, Tag("eda")]
    | Annotated[EditSpans, Tag("edit_spans")]
    | Annotated[EvolInstruct, Tag("evol_instruct")]
    | Annotated[FuseAnswers, Tag("fuse_answers")]
    | Annotated[Genstruct, Tag("genstruct")]
    | Annotated[Humpback, Tag("humpback")]
    | Annotated[LaMini, Tag("lamini")]
    | Annotated[LlamaIT, Tag("llamait")]
    | Annotated[Magpie, Tag("magpie")]
    | Annotated[MCTSDPO, Tag("mcts_dpo")]
    | Annotated[Metacognition, Tag("metacognition")]
    | Annotated[Orca, Tag("orca")]
    | Annotated[Persona, Tag("persona")]
    | Annotated[PseudoLabels, Tag("pseudo_labels")]
    | Annotated[RTuning, Tag("r_tuning")]
    | Annotated[Rejection, Tag("rejection")]
    | Annotated[ReverseInstructions, Tag("reverse_instructions")]
    | Annotated[RoundTrip, Tag("round_trip")]
    | Annotated[S3FT, Tag("s3ft")]
    | Annotated[SciLitLLM, Tag("scilitllm")]
    | Annotated[SelfGuide, Tag("self_guide")]
    | Annotated[SelfInstruct, Tag("self_instruct")]
    | Annotated[SPIN, Tag("spin")]
    | Annotated[StepByStep, Tag("step_by_step")]
    | Annotated[TaskCards, Tag("task_cards")]
    | Annotated[TranslatedTemplates, Tag("translated_templates")]
    | Annotated[Verified, Tag("verified")],
    Discriminator(generator_tag),
]
"""In a recipe: one of these, by its method."""

MAKERS: Mapping[str, type[GeneratorBlock]] = {
    "answer": Answer,
    "repair": Repair,
    "answer_styles": AnswerStyles,
    "apigen": APIGen,
    "augcon": AugCon,
    "constrained": Constrained,
    "document_questions": DocumentQuestions,
    "eda": EDA,
    "edit_spans": EditSpans,
    "evol_instruct": EvolInstruct,
    "fuse_answers": FuseAnswers,
    "genstruct": Genstruct,
    "humpback": Humpback,
    "lamini": LaMini,
    "llamait": LlamaIT,
    "magpie": Magpie,
    "mcts_dpo": MCTSDPO,
    "metacognition": Metacognition,
    "orca": Orca,
    "persona": Persona,
    "pseudo_labels": PseudoLabels,
    "r_tuning": RTuning,
    "rejection": Rejection,
    "reverse_instructions": ReverseInstructions,
    "round_trip": RoundTrip,
    "s3ft": S3FT,
    "scilitllm": SciLitLLM,
    "self_guide": SelfGuide,
    "self_instruct": SelfInstruct,
    "spin": SPIN,
    "step_by_step": StepByStep,
    "task_cards": TaskCards,
    "translated_templates": TranslatedTemplates,
    "verified": Verified,
}
