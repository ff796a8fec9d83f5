"""The part of a generator's or a maker's block that says which model writes."""

from pathlib import Path
from typing import Self

from pydantic import Field

from pipeline.code_version import OtherWorkerError
from pipeline.generation.few_shot import FewShot, place_examples, read_examples_file
from pipeline.measuring.endpoint import AskedBlock, ServedModel
from pipeline.measuring.rows import template_of
from pipeline.settings import TARGET
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.models.devices import resolve_dtype
from scorers.measures.models.loading import ADAPTER, load_language_model, resolve_model
from scorers.measures.protocols import AnswerGenerator
from storage.conversations import content_hash


class AnsweringBlock(AskedBlock):
    """A block whose model writes text."""

    model: str = Field(
        default=TARGET,
        description="A model, or the name an endpoint serves. adapter:last is what the last "
        "training of another recipe in this workspace made, adapter:TRIAL that of one trial.",
    )

    few_shot: str | None = Field(
        default=None,
        min_length=1,
        description="Ask in text that goes on, as a model without a chat template has to be: "
        "behind the examples of `urial`, or of a file that is written like it.",
    )

    def placed(self, base: Path) -> Self:
        """The same block, its paths as seen from here and not from its recipe's folder."""
        if self.few_shot is None:
            return self
        return self.model_copy(update={"few_shot": place_examples(self.few_shot, base)})

    def examples(self) -> FewShot | None:
        """What stands before its prompts; None where they are chats.

        Raises:
            ExamplesError: if the file is not there, or is none.
        """
        return read_examples_file(self.few_shot) if self.few_shot else None

    @property
    def asked_as(self) -> str:
        """What of how it is asked can change what it says, besides its identity."""
        examples = self.examples()
        return content_hash([examples.preface, [*examples.turns]]) if examples else ""

    @property
    def shown_model(self) -> str:
        """The model as it is stored and told: an adapter by its trial, wherever it lies."""
        if not self.model.startswith(ADAPTER):
            return self.model
        return ADAPTER + Path(self.model).parent.name.removeprefix("adapter-")

    def identity(self) -> str:
        """Of the model, and of how it is asked; not of how hard a server is pressed.

        Raises:
            MissingModelError: if there is no such model, or a server cannot be asked for it.
        """
        if self.endpoint:
            return self.endpoint.fingerprint(self.model)
        model = resolve_model(self.model).fingerprint
        template = "" if self.few_shot else template_of(self.model, "chat")
        return model + template + resolve_dtype()

    def generator(self, requests: Path, identity: str) -> AnswerGenerator:
        """The model that answers, if it is the one with this identity.

        Args:
            requests: folder where replies of endpoints are kept.
            identity: as `identity` found it where the run came to the model.

        Raises:
            MissingModelError: if the server cannot be asked, or serves another model by now.
            OtherWorkerError: if here is another model under that name.
        """
        if self.endpoint:
            return EndpointGenerator(
                ServedModel(
                    endpoint=self.endpoint,
                    model=self.model,
                    fingerprint=identity,
                    requests=requests,
                ).connect()
            )
        if self.identity() != identity:
            raise OtherWorkerError(
                f"{self.model}: this worker has another model or template under that name than the "
                "run, or computes in another dtype. Put the same model on every machine, and start "
                "the run on a machine like the workers"
            )
        return load_language_model(resolve_model(self.model))
