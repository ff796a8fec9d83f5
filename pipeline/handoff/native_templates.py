"""Chat templates that trainers have of their own: what each writes around the contents.

LLaMA-Factory and ms-swift read no chat template of the tokenizer's. Of the texts that one makes
they can be given those that stand between the same frames. Here are the families of frames that
at least one knows, and what they call them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.handoff.frames import Frames, cut_at_frames
from pipeline.handoff.tool_texts import (
    ResultFrames,
    ToolTexts,
    hermes_calls,
    hermes_results,
    hermes_tools,
    llama_calls,
)
from scorers.measures.reading.chat_format import RenderingError, render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class NativeTemplate:
    """A template as trainers write it, piece by piece."""

    begin: str
    """In front of everything."""
    system: tuple[str, str] | None
    """Before and behind a system prompt; None: it stands within the first user message."""
    user: tuple[str, str]
    """Before a user message, and behind it up to where the answer begins."""
    close: str
    """Behind an answer."""
    names: Mapping[str, str]
    """Trainer → what it calls the template; one that is not named writes it otherwise."""
    tool_texts: Mapping[str, ToolTexts] = field(default_factory=dict)
    """Trainer → what it writes in it of columns for tools; one that is not named has none."""
    added: Sequence[str] = ()
    """Tokens that LLaMA-Factory adds to a tokenizer that has them not."""

    @property
    def frames(self) -> Frames:
        """The same as what stands between contents."""
        before, behind = self.system or ("", "")
        return Frames(
            system_open=self.begin + before if self.system else None,
            system_to_user=behind + self.user[0],
            user_open=self.begin + self.user[0],
            user_to_assistant=self.user[1],
            assistant_to_user=self.close + self.user[0],
            close=self.close,
        )


def _header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def _llama_texts(role: str) -> ToolTexts:
    """Calls as JSON; results with the header of a role, which trainers name differently."""
    behind = f"<|eot_id|>{_header('assistant')}"
    between = f"<|eot_id|>{_header(role)}"
    # Of tools the one writes today's date, the other a space that Llama 3.1's template has not.
    return ToolTexts(None, llama_calls, ResultFrames(_header(role), between, behind))


_CHATML_USER = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
_HERMES = ToolTexts(hermes_tools, hermes_calls, hermes_results(_CHATML_USER))

NATIVE_TEMPLATES: Sequence[NativeTemplate] = (
    NativeTemplate(  # ChatML: Qwen, SmolLM and many more
        begin="",
        system=("<|im_start|>system\n", "<|im_end|>\n"),
        user=_CHATML_USER,
        close="<|im_end|>\n",
        # Of the ChatML templates these are those without a system prompt or thoughts of their own.
        names={"llamafactory": "qwen3_nothink", "ms-swift": "chatml"},
        tool_texts={"llamafactory": _HERMES, "ms-swift": _HERMES},
    ),
    NativeTemplate(
        begin="<|begin_of_text|>",
        system=(_header("system"), "<|eot_id|>"),
        user=(_header("user"), f"<|eot_id|>{_header('assistant')}"),
        close="<|eot_id|>",
        names={"llamafactory": "llama3", "ms-swift": "llama3"},
        tool_texts={"llamafactory": _llama_texts("ipython"), "ms-swift": _llama_texts("tool")},
        added=("<|eom_id|>",),
    ),
    NativeTemplate(
        begin="<bos>",
        system=None,
        user=("<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
        close="<end_of_turn>\n",
        # ms-swift ends the last answer without the line break.
        names={"llamafactory": "gemma"},
    ),
)


def native_template(tokenizer: "PreTrainedTokenizerBase") -> NativeTemplate | None:
    """The family whose frames a chat template writes around a plain exchange; None if of none."""
    exchange = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    try:
        text = render_text(tokenizer, exchange, ())
    except RenderingError:
        return None
    for native in NATIVE_TEMPLATES:
        if cut_at_frames(text, native.frames) is not None:
            return native
    return None
