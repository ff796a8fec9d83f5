"""A server that models are asked through, as a recipe names it, and one of its models in a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.measuring.measure import ExampleInputs
from pipeline.measuring.rows import template_of
from pipeline.settings import TARGET, Settings
from scorers.measures.endpoint.batch_files import MOST_REQUESTS
from scorers.measures.endpoint.client import BatchUse, EndpointSettings
from scorers.measures.endpoint.forms import FormsOf
from scorers.measures.endpoint.generator import EndpointGenerator, endpoint_fingerprint
from scorers.measures.models.devices import resolve_dtype
from scorers.measures.models.loading import MissingModelError, load_language_model, resolve_model
from scorers.measures.protocols import AnswerGenerator
from storage.measurements import MeasureKey


class Price(Settings):
    """What a server takes, in any one currency."""

    prompt: float = Field(ge=0, description="For a million tokens of prompts.")
    new: float = Field(ge=0, description="For a million tokens that are written.")


class BatchSettings(Settings):
    """Questions go in files, and are answered within a day."""

    poll_seconds: float = Field(
        default=60, gt=0, description="Between two looks at what became of a batch."
    )
    most_requests: int = Field(
        default=MOST_REQUESTS, gt=0, le=MOST_REQUESTS, description="Of one batch."
    )


class Endpoint(Settings):
    """An OpenAI-compatible server, such as vLLM's."""

    base_url: str = Field(description='Up to the version, such as "http://127.0.0.1:8000/v1".')
    api_key_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds the key."
    )
    max_concurrency: int = Field(default=16, gt=0, description="Requests under way at a time.")
    timeout_seconds: float = Field(default=300, gt=0, description="For one attempt.")
    retries: int = Field(default=5, ge=0, description="Attempts after the first.")
    forms: FormsOf = Field(
        default="json_schema",
        description="How it is told what an answer has to look like: by `response_format`, as most "
        "servers know it; by vLLM's `structured_outputs`; or not at all.",
    )

    batch: BatchSettings | None = Field(
        default=None,
        description="Ask in batch files (`/files`, `/batches`): hours later, and for less.",
    )
    price: Price | None = Field(
        default=None, description="What tokens cost; plans and budgets of makers reckon with it."
    )

    @model_validator(mode="after")
    def check_address(self) -> Self:
        """Refuse an address that cannot work."""
        self.settings("")  # the engine's settings raise for it; no model is asked yet
        return self

    def settings(self, model: str, cache: Path | None = None) -> EndpointSettings:
        """The same for the engine.

        Args:
            model: the name that the server gives it.
            cache: folder of the replies that were had; without one none is kept.
        """
        batch = BatchUse(**self.batch.model_dump()) if self.batch else None
        how = self.model_dump(exclude={"price", "batch"})
        return EndpointSettings(model=model, cache=cache, batch=batch, **how)

    def fingerprint(self, model: str) -> str:
        """Ask the server what the model is.

        Raises:
            MissingModelError: if the server cannot be asked, or does not serve the model.
        """
        return endpoint_fingerprint(self.settings(model))


class ServedModel(Settings):
    """A model behind an endpoint, as the server described it when the run came to it."""

    endpoint: Endpoint
    model: str = Field(description="The name that the server gives it.")
    fingerprint: str = Field(description="What the server said of it.")
    requests: Path = Field(description="Folder of the replies that were had, of all models.")

    @classmethod
    def find(cls, endpoint: Endpoint, model: str, requests: Path) -> Self:
        """Ask the server for the model.

        Raises:
            MissingModelError: if the server cannot be asked, or does not serve the model.
        """
        fingerprint = endpoint.fingerprint(model)
        return cls(endpoint=endpoint, model=model, fingerprint=fingerprint, requests=requests)

    def settings(self) -> EndpointSettings:
        """How to ask it. Each model has a folder of replies, also those of one name."""
        return self.endpoint.settings(self.model, self.requests / self.fingerprint[:16])

    def connect(self) -> EndpointSettings:
        """`settings`, once it is sure that the model is still there.

        A server that has gone would otherwise be stored as the failure of every row to come.

        Raises:
            MissingModelError: if the server cannot be asked, or serves another model by now.
        """
        if self.endpoint.fingerprint(self.model) != self.fingerprint:
            raise MissingModelError(
                f"{self.endpoint.base_url} serves another {self.model!r} than when the run came to "
                "it. Start the run again: what was stored stays with the model that said it."
            )
        return self.settings()


def find_served(endpoint: Endpoint | None, model: str, requests: Path) -> ServedModel | None:
    """The model behind the endpoint; None where the model is to be loaded here.

    Raises:
        MissingModelError: if the server cannot be asked, or does not serve the model.
    """
    return ServedModel.find(endpoint, model, requests) if endpoint else None


def fingerprint_of(model: str, served: ServedModel | None) -> str:
    """What a model is, served or on this disk."""
    return served.fingerprint if served else resolve_model(model).fingerprint


def generator_of(model: str, served: ServedModel | None) -> AnswerGenerator:
    """The model that writes answers.

    Raises:
        MissingModelError: if the server cannot be asked, or serves another model by now.
    """
    if served:
        return EndpointGenerator(served.connect())
    return load_language_model(resolve_model(model))


class AskedBlock(Settings):
    """A block of a recipe whose model is loaded here, or asked on a server."""

    model: str = Field(default=TARGET, description="A model, or the name an endpoint serves.")
    endpoint: Endpoint | None = Field(
        default=None, description="Ask a server instead of loading the model here."
    )

    def find_served(self, requests: Path) -> ServedModel | None:
        """The server's model; None where it is loaded here. Raises as `find_served` does."""
        return find_served(self.endpoint, self.model, requests)


class ServedMeasure(Settings, ExampleInputs):
    """What measures have in common whose model is loaded here, or asked on a server."""

    served: ServedModel | None = None

    def anywhere(self) -> bool:
        """A server is asked from one place, which keeps its replies."""
        return self.served is None

    def chat_key(self, measure: str, model: str, settings: Mapping[str, Any]) -> MeasureKey:
        """The key of what a chat model says: a server tells neither its template nor its dtype."""
        return MeasureKey(
            measure=measure,
            model=model,
            model_fingerprint=fingerprint_of(model, self.served),
            template_fingerprint="" if self.served else template_of(model, "chat"),
            settings={"dtype": "" if self.served else resolve_dtype(), **settings},
        )
