"""The part of a generator's or a maker's block that says which model writes."""

from pathlib import Path

from pydantic import Field

from pipeline.measuring.endpoint import AskedBlock, ServedModel
from pipeline.measuring.rows import template_of
from pipeline.settings import TARGET
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.models.devices import resolve_dtype
from scorers.measures.models.loading import ADAPTER, load_language_model, resolve_model
from scorers.measures.protocols import AnswerGenerator


class AnsweringBlock(AskedBlock):
    """A block whose model writes text."""

    model: str = Field(
        default=TARGET,
        description="A model, or the name an endpoint serves. adapter:last is what the last "
        "training of another recipe in this workspace made, adapter:TRIAL that of one trial.",
    )

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
        model, template = resolve_model(self.model).fingerprint, template_of(self.model, "chat")
        return model + template + resolve_dtype()

    def generator(self, requests: Path) -> AnswerGenerator:
        """The model that answers; replies of endpoints are kept in the folder `requests`."""
        if self.endpoint:
            served = ServedModel.find(self.endpoint, self.model, requests)
            return EndpointGenerator(served.settings())
        return load_language_model(resolve_model(self.model))
