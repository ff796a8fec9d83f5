"""What each prompt of a maker is filled with: told before work where a file has no place for it.

A prompt is a text file that may be worded anew. Without `$passage` in it a model would be asked
about no passage, and would answer.
"""

from collections.abc import Iterable, Mapping, Set

PLACEHOLDERS: Mapping[str, Set[str]] = {
    "apigen_query": {"asked", "shown", "tools"},
    "answer_styles_as_choice": {"options", "prompt"},
    "answer_styles_as_explanation": {"prompt", "words"},
    "answer_styles_as_yes_no": {"answer", "prompt"},
    "answer_styles_explanation": {"answer", "prompt", "words"},
    "answer_styles_options": {"answer", "count", "prompt"},
    "augcon_answer": {"question", "text"},
    "augcon_shots": set(),
    "augcon_split": {"text"},
    "augcon_weak": {"text"},
    "constrained_rules": {
        "ends_with",
        "excludes",
        "includes",
        "paragraphs",
        "placeholders_at_least",
        "points",
        "words_at_least",
        "words_at_most",
    },
    "document_questions_answer": {"passages", "question"},
    "document_questions_questions": {"about", "count", "heading", "passage"},
    "document_questions_row": {"passages", "question"},
    "document_questions_tags": {"heading", "passage"},
    "entailed_judge": {"answer", "ground", "question"},
    "evol_instruct_answerable": {"child"},
    "evol_instruct_breadth": {"prompt"},
    "evol_instruct_changes": set(),
    "evol_instruct_depth": {"change", "prompt"},
    "evol_instruct_gain": {"child", "parent"},
    "fuse_answers": {"given", "own", "prompt"},
    "genstruct": {"heading", "passage"},
    "humpback_rating": {"reply", "request"},
    "judged_prompt": {"answer", "prompt"},
    "judged_response": {"answer", "prompt", "reference"},
    "lamini_instructions": {"about", "first", "last", "more", "tasks"},
    "mcts_dpo_judge": {"prompt", "steps"},
    "mcts_dpo_reference": {"prompt", "reference", "steps"},
    "metacognition_answer": {"prompt"},
    "metacognition_pair": {"first", "second"},
    "metacognition_single": {"prompt"},
    "orca_systems": set(),
    "persona_kinds": set(),
    "persona_request": {"kind", "persona"},
    "pseudo_labels": {"labels", "prompt", "question"},
    "rejection_hint": {"answer", "prompt"},
    "reverse_instructions_extract": {"text"},
    "reverse_instructions_request": {"reply"},
    "rubric_criteria": set(),
    "rubric_judge": {"answer", "criteria", "prompt"},
    "round_trip": {"language", "text"},
    "s3ft_paraphrase": {"prompt", "reference"},
    "scilitllm_aspects": {"answer", "text"},
    "scilitllm_instruction": {"keywords", "task"},
    "scilitllm_quality": {"passage"},
    "scilitllm_repair": {"passage"},
    "scilitllm_tasks": set(),
    "self_guide_input": {"instruction", "made", "trusted", "wish"},
    "self_guide_output": {"input", "instruction"},
    "self_instruct_classification": {"task"},
    "self_instruct_input_first": {"task"},
    "self_instruct_instructions": {"first", "last", "more", "tasks"},
    "self_instruct_output_first": {"task"},
    "step_by_step_rationale": {"prompt"},
    "translated_templates": {"language", "text"},
    "task_cards": {"heading", "passage", "task", "wish"},
    "task_cards_wishes": {"input_is", "output", "output_is"},
    "tool_results_judge": {"calls", "prompt"},
}
"""File in makers/prompts/ → the marks that it has, each with a `$` before it."""


def fault_of_marks(name: str, marks: Set[str]) -> str:
    """What is wrong with the marks of a prompt; "" where nothing is."""
    missing, unknown = PLACEHOLDERS[name] - marks, marks - PLACEHOLDERS[name]
    file = f"makers/prompts/{name}.txt"
    if missing:
        return f"{file} has no {spell_marks(missing)}: write it where that shall stand"
    if unknown:
        return f"{file} is filled with nothing for {spell_marks(unknown)}: take it out"
    return ""


def spell_marks(marks: Iterable[str]) -> str:
    """Marks as they are written."""
    return ", ".join(f"${mark}" for mark in sorted(marks))
