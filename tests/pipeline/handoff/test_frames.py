import pytest

from pipeline.handoff.frames import (
    CutText,
    Exchange,
    Frames,
    cut_at_frames,
    cut_at_openings,
    frames_of,
)
from pipeline.handoff.native_templates import native_template
from tests.template_families import FAMILIES

FRAMES = Frames("<s>S:", "\nU:", "<s>U:", "\nA:", "|\nU:", "|\n")


def test_a_text_is_cut_into_what_stands_between_frames() -> None:
    exchanges = [Exchange("a", "b"), Exchange("", "d\ne")]
    assert cut_at_frames("<s>S:be\nU:a\nA:b|\nU:\nA:d\ne|\n", FRAMES) == CutText("be", exchanges)
    assert cut_at_frames("<s>U:a\nA:b|\nU:\nA:d\ne|\n", FRAMES) == CutText(None, exchanges)


@pytest.mark.parametrize(
    "text",
    [
        "U:a\nA:b|\n",  # no beginning
        "<s>S:be a\nA:b|\n",  # no user after the system prompt
        "<s>U:a b|\n",  # no answer
        "<s>U:a\nA:b|",  # not closed
        "<s>U:a\nA:b|\nU:c|\n",  # an exchange without an answer
    ],
)
def test_other_texts_are_not_cut(text: str) -> None:
    assert cut_at_frames(text, FRAMES) is None


def test_a_text_is_cut_at_openings_that_are_known() -> None:
    openings = [("\nU:", "\nA:"), ("\nT:", "\nTA:"), ("\nU:", "\nA:")]
    text = "<s>S:be\nU:a\nA:b|\n\nT:1\nTA:c\nU:d|\n\nU:e\nA:f|\n|\n"
    told = [Exchange("a", "b"), Exchange("1", "c\nU:d"), Exchange("e", "f|\n")]
    assert cut_at_openings(text, FRAMES, openings) == CutText("be", told)
    assert cut_at_openings(text.removesuffix("|\n"), FRAMES, openings) is not None
    assert cut_at_openings(text.removesuffix("|\n|\n"), FRAMES, openings) is None  # not closed
    assert cut_at_openings(text, FRAMES, openings[:2]) != CutText("be", told)
    assert cut_at_openings(text, FRAMES, [openings[0]] * 3) is None  # results, and none told
    assert cut_at_openings("S:be\nU:a\nA:b|\n", FRAMES, openings[:1]) is None  # no beginning


def test_frames_are_found_by_rendering() -> None:
    frames = frames_of(FAMILIES["qwen2_5"].tokenizer())
    assert frames is not None
    assert frames.system_open == "<|im_start|>system\n"
    assert frames.user_to_assistant == "<|im_end|>\n<|im_start|>assistant\n"
    assert frames.assistant_to_user == "<|im_end|>\n<|im_start|>user\n"
    assert frames.close == "<|im_end|>\n"
    # Without a system prompt it writes one of its own.
    assert frames.user_open.startswith("<|im_start|>system\nYou are Qwen")


def test_a_system_prompt_without_a_frame_of_its_own_is_none() -> None:
    frames = frames_of(FAMILIES["gemma"].tokenizer())  # which refuses system prompts
    assert frames is not None and frames.system_open is None


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("chatml", "qwen3_nothink"),
        ("smollm2", "qwen3_nothink"),
        ("qwen2_5", "qwen3_nothink"),
        ("qwen3", "qwen3_nothink"),
        ("llama3", "llama3"),
        ("llama3_1", "llama3"),
        ("gemma", "gemma"),
        ("mistral", None),
        ("gptoss", None),
    ],
)
def test_the_native_template_is_the_one_with_the_same_frames(family: str, name: str | None) -> None:
    native = native_template(FAMILIES[family].tokenizer())
    assert (native and native.names["llamafactory"]) == name
