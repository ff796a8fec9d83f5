"""Why rows are out, in words: what each reason of a decision means."""

MEANINGS = {
    "indicated": "its prompt got a mark at the end; the example named stands for it",
    "no_response": "it is a prompt only: there is nothing to train on",
    "no_loss_tokens": "the template leaves no token of the response",
    "truncated": "it is longer than what the trainer reads",
    "failed": "its tokens could not be counted",
    "not_measured": "its tokens were not counted",
    "personal_data": "there is personal data in it; personal_data_hits says what",
    "redacted": "because_of is the same without personal data, and takes its place",
    "license_not_allowed": "none of the sources that hold it has a licence that is allowed",
    "held_out": "it is kept aside to measure training on",
    "exact_duplicate": "of because_of, which stays; compared by one text of the rows",
    "near_duplicate": "of because_of, which stays",
    "contaminated": (
        "it holds something of an evaluation set; contamination_hits says of which item"
    ),
    "shared_span": "a long passage of it stands word for word in because_of, which stays",
    "no_score": (
        "the score could not be had; its state stands behind a colon, as in no_score:truncated"
    ),
    "no_embedding": "there is no embedding to compare",
    "below_threshold": "the score is below the least that stays",
    "above_threshold": "the score is above the most that stays",
    "below_share": "the score is not among the highest share, or is in the lowest one that goes",
    "above_share": "the score is in the highest share, and that goes",
    "low_confidence": "the confidence is in the lower half, or not above the bound",
    "repaired": "because_of, its repair, stands in its place",
    "not_better": "it is a repair, and what it would have replaced stays or goes without it",
    "no_original": "it is a repair, and what it would have replaced is not among the rows",
    "harmful_noise": "perplexity and entropy are both above the median",
    "redundant": "neither is",
    "wrong_answer": "it ends on another answer than the trusted one",
    "unverifiable": "its prompt has no trusted answer",
    "not_matched": "the source whose numbers are matched has no row of its prompt",
    "too_short": "its response has fewer tokens than a candidate must have",
    "copies_prompt": "its response repeats its prompt",
    "other_language": "it is in a language that is not kept",
    "no_language": "its language is not known",
    "marked_bad": "a person who read it marked it bad; the table reviews has whose verdict it is",
    "no_turn_left": "each of its trained turns is outside the bounds",
    "not_best_candidate": "because_of, another answer to the same prompt, is likelier",
    "same_response": "because_of, another answer to the same prompt, is the same text",
    "no_alternative": "it is the only answer to its prompt, and the recipe asks for alternatives",
    "too_similar": "to because_of, which was picked before it",
    "covered": "the step that covers the pool picked others; because_of is the pick nearest to it",
    "is_target": (
        "it is one of the targets that rows are compared with, or another answer to the prompt of "
        "one"
    ),
    "no_tags": "its prompt has no tag that enough rows have, or none could be had",
    "no_new_tag": "all its tags had been picked; because_of brought the last of them",
    "rejected_answer": "it is the worse answer of a pair, and no row itself; because_of is better",
    "over_budget": "the budget was used up before its turn",
    "not_drawn": (
        "it is outside the sample that facility_location compares, or the fraction that dmt "
        "takes of its source; what a control leaves out has no decision"
    ),
    "no_share": "its group has no share of the budget",
    "other_stage": "belongs to the other of two stages of training",
}
"""As docs/data-model.md has them."""
