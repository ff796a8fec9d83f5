import torch

from fine_tune.methods.masked_thought import MaskedThought
from storage.exports_manifest import IGNORED

VOCABULARY = 50_000


def read_as(method: MaskedThought, progress: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The ids that are read, and which of them are trained."""
    torch.manual_seed(0)
    ids = torch.randint(VOCABULARY, (8, 500))
    labels = ids.clone()
    labels[:, :100] = IGNORED
    batch = {"input_ids": ids, "labels": labels}
    changed = method.change_inputs(batch, VOCABULARY, progress)
    assert torch.equal(batch["input_ids"], ids) and torch.equal(batch["labels"], labels)
    return changed != ids, labels != IGNORED


def test_the_share_of_the_answer_is_replaced_and_nothing_of_the_prompt() -> None:
    changed, trained = read_as(MaskedThought(method="masked_thought", share=0.4))
    assert not changed[~trained].any()
    assert 0.36 < changed[trained].float().mean() < 0.44


def test_the_share_rises_and_then_stays() -> None:
    method = MaskedThought(method="masked_thought", share=0.4, rise=0.5)
    shares = [read_as(method, at)[0].float().sum() / (8 * 400) for at in (0, 0.25, 0.5, 1)]
    assert shares[0] == 0
    assert 0.16 < shares[1] < 0.24 and 0.36 < shares[2] < 0.44 and 0.36 < shares[3] < 0.44


def test_without_a_rise_it_is_whole_from_the_first_step() -> None:
    changed, _ = read_as(MaskedThought(method="masked_thought", share=0.4, rise=0), progress=0)
    assert changed.any()


def test_the_same_state_draws_the_same() -> None:
    method = MaskedThought(method="masked_thought")
    assert torch.equal(read_as(method)[0], read_as(method)[0])


def test_replaced_tokens_are_ids_of_the_tokenizer() -> None:
    ids = torch.zeros((1, 1000), dtype=torch.int64)
    method = MaskedThought(method="masked_thought", share=0.9, rise=0)
    changed = method.change_inputs({"input_ids": ids, "labels": ids}, 7, 1.0)
    assert set(changed.flatten().tolist()) == set(range(7))
