"""Turn ratings: what two judges believe of every user turn and every reply of a conversation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import orjson
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.measuring.endpoint import AskedBlock, ServedModel, fingerprint_of
from pipeline.measuring.judge import judge_of
from pipeline.measuring.measure import ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.rows import Unmeasured, answer_rows, answer_table, rows_to_ask, template_of
from pipeline.settings import Settings, Subset
from scorers.measures.models.devices import borrowed_device, resolve_dtype
from scorers.measures.protocols import Message
from scorers.measures.ratings import RatedRow, check_template
from scorers.measures.turn_ratings import QUESTIONS, VERSION, TurnJudge, rate_turns
from storage.conversations import content_hash, message_text
from storage.measurements import MeasureKey
from storage.workspace import Workspace

FIELDS = [
    pa.field("complexity", pa.list_(pa.list_(pa.float64()))),
    pa.field("complexity_mass", pa.list_(pa.float64())),
    pa.field("quality", pa.list_(pa.list_(pa.float64()))),
    pa.field("quality_mass", pa.list_(pa.float64())),
]

NOT_RATED = "what stands after the trained response was not rated"

NO_TURN = {"state": "not_applicable", "detail": "the response answers no user turn"}


class TurnQuestion(AskedBlock):
    """One question about each turn, and who is asked."""

    template: str | None = Field(
        default=None,
        description="The question, with {prompt} for the user's turn and {response} for the reply; "
        "answered from 1 to 6. A built-in one if not given.",
    )

    @model_validator(mode="after")
    def check_question(self) -> Self:
        """Refuse a question that cannot be put."""
        if self.template is not None:
            check_template(self.template)
        return self


class TurnRatingSettings(Settings):
    """Marks from 1 to 6 for each user turn and each reply: `deita` needs them."""

    complexity: TurnQuestion = Field(
        default=TurnQuestion(), description="How complex a user turn is."
    )
    quality: TurnQuestion = Field(default=TurnQuestion(), description="How good a reply is.")
    part: Subset | None = Field(default=None, description="Ask about part of the pool only.")

    def questions(self) -> tuple[TurnQuestion, TurnQuestion]:
        """Both, complexity first."""
        return self.complexity, self.quality

    def templates(self) -> dict[str, str]:
        """The wording of each question."""
        pairs = zip(QUESTIONS.items(), self.questions(), strict=True)
        return {name: asked.template or built_in for (name, built_in), asked in pairs}


class TurnRated(Settings, ExampleInputs):
    """The measure, with the servers' models where some are asked."""

    settings: TurnRatingSettings
    served: tuple[ServedModel | None, ServedModel | None] = (None, None)

    @classmethod
    def find(cls, settings: TurnRatingSettings, workspace: Workspace) -> Self:
        """The measure, once its servers have said what they serve.

        Raises:
            MissingModelError: if a server cannot be asked, or does not serve the model.
        """
        complexity, quality = (
            each.find_served(workspace.requests) for each in settings.questions()
        )
        return cls(settings=settings, served=(complexity, quality))

    def judges(self) -> list[tuple[TurnQuestion, ServedModel | None]]:
        """Each question with the server's model that is asked, complexity first."""
        return list(zip(self.settings.questions(), self.served, strict=True))

    def key(self) -> MeasureKey:
        """Both judges, their templates and the questions."""
        judges = self.judges()
        here = [asked.model for asked, served in judges if not served]
        return MeasureKey(
            measure="turn_ratings",
            model=", ".join(dict.fromkeys(asked.model for asked, _ in judges)),
            model_fingerprint=content_hash(
                [fingerprint_of(a.model, served) for a, served in judges]
            ),
            template_fingerprint=content_hash([template_of(model, "chat") for model in here]),
            settings={
                "version": VERSION,
                "dtype": resolve_dtype() if here else "",  # a server does not say
                **self.settings.templates(),
            },
        )

    def anywhere(self) -> bool:
        """A server is asked from one place, which keeps its replies."""
        return self.served == (None, None)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Ask both judges about each turn of the examples that have a response."""
        turns = rows_to_ask(examples, lambda row: split_turns(row) or dict(NO_TURN))
        answers = answer_rows(turns, self.rate)
        for row, answer in zip(examples.to_pylist(), answers, strict=True):
            if answer["state"] == "ok" and asked_after(row):
                answer["detail"] = NOT_RATED
        return answer_table(examples, answers, FIELDS)

    def rate(self, conversations: list[list[RatedRow]]) -> list[Unmeasured]:
        """What both judges say of the turns of each conversation."""
        templates = self.settings.templates().values()
        with borrowed_device():
            complexity, quality = (
                TurnJudge(template, *judge_of(asked.model, served))
                for template, (asked, served) in zip(templates, self.judges(), strict=True)
            )
            return [asdict(each) for each in rate_turns(conversations, complexity, quality)]


def plan_turn_ratings(block: TurnRatingSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of a subset, or of all."""
    return {"turn_ratings": scope.job(TurnRated.find(block, scope.workspace), block.part)}


def split_turns(row: Mapping[str, Any]) -> list[RatedRow] | None:
    """A conversation up to its trained response as turns; None where there is no response.

    A turn is what the user said up to the next reply, and all that the assistant and its tools said
    up to the next user turn. A system prompt belongs to no turn, and a greeting answers none.
    """
    if row["response_at"] is None:
        return None
    turns: list[tuple[list[str], list[Message]]] = []  # what was asked, and what came back
    for message in orjson.loads(row["messages"])[: row["response_at"] + 1]:  # with the response
        if message["role"] == "user":
            if not turns or turns[-1][1]:  # answered: a second question opens a turn of its own
                turns.append(([], []))
            turns[-1][0].append(message_text(message))
        elif turns and message["role"] in ("assistant", "tool"):
            turns[-1][1].append(message)
    return [
        RatedRow([{"role": "user", "content": "\n\n".join(asked)}], reply_text(replies))
        for asked, replies in turns
        if replies  # a question that nobody answered is no turn
    ]


def place_rated(messages: Sequence[Mapping[str, Any]], trained_at: Sequence[int]) -> list[int]:
    """Of each trained turn the place of its turn among those that are rated; -1 of a greeting."""
    places, opened, answered = [], 0, True
    for message in messages[: max(trained_at, default=-1) + 1]:
        if message["role"] == "user":
            opened += answered  # a second question before the answer belongs to the first
            answered = False
        elif message["role"] in ("assistant", "tool"):
            answered = True
        places.append(opened - 1)
    return [places[at] for at in trained_at]


def reply_text(replies: Sequence[Message]) -> str:
    """A lone reply as it is; one that tools took part in with the roles named."""
    if len(replies) == 1:
        return message_text(replies[0])
    return "\n\n".join(f"[{message['role']}]\n{message_text(message)}" for message in replies)


def asked_after(row: Mapping[str, Any]) -> bool:
    """Whether a user turn stands behind the trained response."""
    after = orjson.loads(row["messages"])[row["response_at"] + 1 :]
    return any(message["role"] == "user" for message in after)
