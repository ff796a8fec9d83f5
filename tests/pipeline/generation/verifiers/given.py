"""A row, and what verifiers say of answers to its prompt."""

from typing import Any

from pipeline.generation.verifier import Verdict, VerifierBlock
from storage.conversations import Conversation
from storage.examples import Example


def row(
    prompt: str, response: str | None = None, tools: list[dict[str, Any]] | None = None
) -> Example:
    """A row of one exchange; without a response a prompt alone."""
    messages = [{"role": "user", "content": prompt}]
    if response is not None:
        messages.append({"role": "assistant", "content": response})
    given = Conversation(messages, tools or [])
    at = None if response is None else 1
    return Example(
        given.example_id,
        given.prompt_id,
        messages,
        tools or [],
        at,
        prompt,
        response or "",
        [] if at is None else [at],
    )


def faults(verifier: VerifierBlock, source: Example, *answers: str) -> list[str]:
    """What is wrong with each answer, where nothing is asked."""
    places = [("sample", at) for at in range(len(answers))]
    verifying = verifier.verify(source, places, answers)
    try:
        next(verifying)
    except StopIteration as ended:
        verdicts: list[Verdict] = list(ended.value)
        assert not any(each.asked for each in verdicts)
        return [each.fault for each in verdicts]
    raise AssertionError("it asks a model")
