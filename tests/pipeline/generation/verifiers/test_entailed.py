"""entailed: a word of three and nothing else, with its probability; or a model for inference."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.generation.maker import CallPlace
from pipeline.generation.verifier import Verdict, ground_question
from pipeline.generation.verifiers.entailed import Entailed, sentences_of
from scorers.measures.entailment import CrossEncoderEntailment
from scorers.measures.models.loading import MissingModelError
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import faults, row
from tests.scorers.measures.test_entailment import save_model

GROUND = "The Danube ends in the Black Sea."
SOURCE = ground_question("Where does it end?", GROUND)


def block(**fields: object) -> Entailed:
    return Entailed.model_validate({"method": "entailed", **fields})


def judge(
    verifier: Entailed,
    *rounds: Sequence[str],
    options: Mapping[str, float] | None = None,
    answers: Sequence[str] = ("an answer",),
) -> list[Verdict]:
    places: list[CallPlace] = [("answer", at) for at in range(len(answers))]
    verifying = verifier.verify(SOURCE, places, answers)
    wanted, given = next(verifying), iter(rounds)
    while True:
        texts = next(given)
        assert len(texts) == len(wanted.asks)
        assert all(GROUND in str(ask.messages[0]["content"]) for ask in wanted.asks)
        try:
            wanted = verifying.send(
                [GeneratedAnswer(text, 1, finished=True, options=options) for text in texts]
            )
        except StopIteration as ended:
            assert next(given, None) is None
            return list(ended.value)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("supported", ""),
        ("Supported.", ""),
        (" **supported** ", ""),
        ("contradicted", "contradicted"),
        ("missing", "missing"),
        ("not supported", "unparsed_verdict"),
        ("unsupported", "unparsed_verdict"),
        ("It is supported", "unparsed_verdict"),
        ("supported, or contradicted", "unparsed_verdict"),
        ("yes", "unparsed_verdict"),
        ("I know it is not", "unparsed_verdict"),
        ("", "unparsed_verdict"),
    ],
)
def test_one_word_of_three_counts_and_nothing_else(said: str, fault: str) -> None:
    (verdict,) = judge(block(retries=0), [said])
    assert verdict.fault == fault and len(verdict.asked) == 1


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"supported": 0.3, "contradicted": 0.2, "missing": 0.1}, ""),  # 0.5 of 0.6
        ({"supported": 0.29, "contradicted": 0.2, "missing": 0.1}, "unsure"),
        ({"supported": 0.9, "contradicted": 0.05, "missing": 0.05}, ""),
        ({"supported": 0.0, "contradicted": 0.0, "missing": 0.0}, ""),  # nothing is told
    ],
)
def test_the_share_of_its_probability_must_be_reached(
    options: dict[str, float], fault: str
) -> None:
    bounds = block(at_least=0.5, retries=0)
    assert judge(bounds, ["supported"], options=options)[0].fault == fault
    assert judge(bounds, ["missing"], options=options)[0].fault == "missing"


def test_what_cannot_be_read_is_asked_again_and_no_other() -> None:
    told = judge(
        block(retries=2),
        ["supported", "perhaps", "hm"],
        ["missing", "hm"],
        ["hm"],
        answers=["a", "b", "c"],
    )
    assert [each.fault for each in told] == ["", "missing", "unparsed_verdict"]
    assert [len(each.asked) for each in told] == [1, 2, 3]
    bounds = block(retries=2).calls_for(3)
    assert bounds["judge"][:2] == (0, 3) and bounds["retry"][:2] == (0, 6)


def test_a_row_has_no_passage_and_is_taken_for_its_prompt() -> None:
    given = row("Text: the sea.", "It is.")
    assert not block().takes(given) and block().takes(SOURCE)
    assert block(against="prompt").takes(given)
    with pytest.raises(ValueError, match="set `against: prompt`"):
        next(block().verify(given, [("answer", 0)], ["a"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("nli"))


def test_a_model_for_inference_reads_the_passage_as_premise_and_each_sentence(
    folder: Path,
) -> None:
    model = CrossEncoderEntailment.from_directory(folder)
    sentences = ("the cat sat.", "a dog ran.")
    ((one, _), (other, _)) = model.relations([GROUND] * 2, sentences)
    ((turned, _),) = model.relations([sentences[0]], [GROUND])
    assert turned != pytest.approx(one), "the order of a pair matters"
    low, high = sorted([one, other])
    assert low < high
    verifier = block(entailment=str(folder), at_least=(low + high) / 2)
    assert sorted(map(bool, faults(verifier, SOURCE, *sentences))) == [False, True]
    assert faults(verifier, SOURCE, " ".join(sentences))[0], "the worse of them counts"
    assert faults(verifier, SOURCE, "...") == ["no_content"]
    assert verifier.calls_for(4) == {} and verifier.sent_prompts() == ()
    assert verifier.key_part()["entailment"] not in (None, str(folder)), "by what it is"


def test_labels_are_found_by_their_names_wherever_they_stand(folder: Path, tmp_path: Path) -> None:
    turned = save_model(tmp_path, ["contradiction", "entailment", "neutral"])
    found = CrossEncoderEntailment.from_directory(turned).relations([GROUND], ["the cat sat."])
    expected = CrossEncoderEntailment.from_directory(folder).relations([GROUND], ["the cat sat."])
    assert found[0] == pytest.approx(expected[0], abs=1e-6)


def test_a_model_without_the_label_is_refused(tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", ["contradiction", "not_contradiction", "neutral"])
    with pytest.raises(ValueError, match="a label 'entailment'"):
        faults(block(entailment=str(other)), SOURCE, "the cat sat.")
    verifier = block(entailment=str(other))
    for before in (verifier.require, verifier.key_part):  # of the recipe, and of the run
        with pytest.raises(MissingModelError, match="a label entailment, which its config"):
            before()
    block(entailment="not-on-this-disk").require()
    shutil.rmtree(other)


def test_sentences_of_signs_are_none() -> None:
    assert sentences_of("One is. Two are!  ---") == ["One is.", "Two are!"]
