"""`sluice explain`: the story of one example, from source line to verdict, or of one passage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from flows.cli.options import HERE, AsJson, RunOption, WorkspaceOption
from flows.cli.output import as_lines, print_answer

SHOWN = 400  # characters of a message that are shown; --json has all of it


def explain(
    example: Annotated[
        str, typer.Argument(help="The id of an example or a passage, or how it starts.")
    ],
    workspace: WorkspaceOption = HERE,
    run: RunOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of an example, or where a passage stands in which document."""
    from storage.database import read_workspace
    from storage.documents import read_passage_places
    from storage.explain import find_explained, read_explanation
    from storage.workspace import Workspace

    with read_workspace(Workspace(workspace)) as con:
        kind, found = find_explained(con, example)
        if kind == "passage":
            places = read_passage_places(con, found, run)
            print_answer(places, as_lines(passage_lines(found, places)), as_json)
            return
        explanation = read_explanation(con, found, run)
    print_answer(explanation, as_lines(explanation_lines(explanation)), as_json)


def passage_lines(passage_id: str, places: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a passage stands: file, page, headings, offsets; and what it says."""
    lines = [f"passage {passage_id}"]
    for place in places:
        lines += ["\ncame from", *place_lines(place)]
    if not places:
        return [*lines, "\nno document of the run has it; leave out --run for those that do"]
    return [*lines, "\ntext", f"  {shorten(places[0]['text'])}"]


def place_lines(place: Mapping[str, Any]) -> Iterator[str]:
    """One file that a passage stands in."""
    yield f"  {place['path']}, read as {place['kind']}, licence {place['license']}"
    if place["name"] != place["path"]:
        yield f"  of the documents {place['name']}"
    if place["page"] is not None:
        last = place["last_page"]
        yield f"  page {place['page']}" + (f" to {last}" if last != place["page"] else "")
    if place["headings"]:
        yield f"  under {' > '.join(place['headings'])}"
    yield (
        f"  characters {place['start_at']} to {place['end_at']} of its text, {place['tokens']} "
        f"tokens; passage {place['position']} of {place['passages']}, each at most "
        f"{place['most_tokens']} tokens"
    )


def explanation_lines(explanation: Mapping[str, Any]) -> list[str]:
    """The story for a person: what it says, where it is from, what was found, what was decided."""
    return [
        f"example {explanation['example_id']} ({explanation['origin']})",
        *message_lines(explanation),
        *origin_lines(explanation),
        *measurement_lines(explanation),
        *score_lines(explanation),
        *decision_lines(explanation),
        *contamination_lines(explanation),
        *review_lines(explanation),
        *selection_lines(explanation),
    ]


def shorten(text: str) -> str:
    """A text on one line, cut where it gets long."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}… ({len(text)} characters)"


def message_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """The conversation, the trained turns marked."""
    import orjson

    yield "\nconversation"
    for place, message in enumerate(explanation["messages"]):
        mark = "  (trained)" if place in explanation["trained_at"] else ""
        text = message["content"] or orjson.dumps(message.get("tool_calls", [])).decode()
        yield f"  {message['role']}{mark}: {shorten(text)}"
    if not explanation["trained_at"]:
        yield "  (a prompt only: there is no response to train on)"


def place_in_pair(source: Mapping[str, Any]) -> str:
    """Which answer of a pair an occurrence is, and beside which other; "" where it is in none."""
    if not source["paired_with"]:
        return ""
    said = "rejected" if source["rejected"] else "chosen"
    return f", its {said} answer, beside {source['paired_with'][:8]}"


def origin_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Where it was read, or what made it."""
    yield "\ncame from"
    for source in explanation["sources"]:
        yield (
            f"  {source['path']}, row {source['position']}, read as {source['shape']}"
            f"{place_in_pair(source)}, licence {source['license']}"
        )
    passages = {each["passage_id"] for each in explanation["passages"]}
    for made in explanation["lineage"]:
        parent = made["parent_id"][:8]
        of = f"to the prompt of {parent}" if parent else "from no row"
        if made["parent_id"] in passages:
            of = f"of passage {parent}"
        by = f" by {made['model']} {of}" if made["model"] else f": {parent}"
        yield f"  {made['method']}{by}, with {made['settings']}"
    for passage in explanation["passages"]:
        yield f"  passage {passage['passage_id'][:8]}:"
        for place in passage["places"]:
            yield from (f"  {line}" for line in place_lines(place))
    for key, what in (
        ("candidates", "other answers to the same prompt"),
        ("children", "made from it"),
    ):
        if explanation[key]:
            yield f"  {what}: {', '.join(each[:8] for each in explanation[key])}"


def measurement_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What models were asked about it."""
    yield "\nmeasured"
    for row in explanation["measurements"]:
        detail = f" ({row['detail']})" if row["detail"] else ""
        yield f"  {row['measure']:<14} {row['state']}{detail}, by {row['model']}"


def score_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What was made of that."""
    yield "\nscores"
    for row in explanation["scores"]:
        value = row["state"] if row["value"] is None else f"{row['value']:.4f}"
        yield f"  {row['scorer']:<16} {value}"


def decision_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What each run decided about it, step by step."""
    run = None
    for row in explanation["decisions"]:
        if row["run_id"] != run:
            run = row["run_id"]
            yield f"\nin run {run} ({row['name']})"
        because = f", because of {row['because_of'][:8]}" if row["because_of"] else ""
        value = "" if row["value"] is None else f" at {row['value']:.4f}"
        why = f"; {row['detail']}" if row["detail"] else ""
        outcome = f"dropped: {row['reason']}{value}{because}" if row["reason"] else "kept"
        yield f"  {row['stage']:<9} {row['label']}: {outcome}{why}"
        for copy in row["copies"] or ():
            yield f"  {'':<9} in place of {copy['example_id'][:8]}; {copy['detail']}"


def contamination_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What it shares with evaluation sets, if it was compared with any and shares something."""
    if explanation["contamination"]:
        yield "\nholds something of"
    for row in explanation["contamination"]:
        yield (
            f"  {row['evaluation']}, item {row['item']}: its {row['matched']}, by {row['rule']}, "
            f"at {row['similarity']:.4f} (run {row['run_id']})"
        )


def review_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """What a person said of it, if one read it."""
    if explanation["reviews"]:
        yield "\nreviewed"
    for row in explanation["reviews"]:
        by = f" by {row['reviewer']}" if row["reviewer"] else ""
        note = f": {shorten(row['note'])}" if row["note"] else ""
        yield f"  {row['verdict']}{by}, {row['reviewed_at']:%Y-%m-%d %H:%M}{note}"


def selection_lines(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Which selections it is in."""
    yield "\nselections"
    for row in explanation["selections"]:
        turns = ", ".join(f"message {at + 1}" for at in row["turns"] or ())
        trained = f"; of it is trained {turns}" if turns else ""
        yield f"  {row['name']} ({row['kind']}), rank {row['rank']} of {row['rows']}{trained}"
    if not explanation["selections"]:
        yield "  none"
