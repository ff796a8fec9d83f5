"""Which of two questions about a text is the better one, learnt from pairs of them.

    minimise the mean over pairs of  -log sigmoid(s(text, better) - s(text, worse))

s is a sentence-pair encoder with one linear output, so only differences of its numbers mean
something, and only between questions of one text. With `loss: means` it is the difference of the
means of sigmoid(s), which AugCon's released code minimises. At equal numbers the first is log 2 and
the second 0.

Yang et al. 2024, "AugCon", arXiv:2405.16579, whose ranker is the language model itself with an
adapter; here it is a small encoder, all of whose weights are trained, so its orders are not theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorers.arrays import Floats
from scorers.measures.training.cappy import PairRegressor
from scorers.measures.training.proxy_schedule import LinearSchedule

Loss = Literal["pairwise", "means"]


class QuestionPair(NamedTuple):
    """Two questions about one text."""

    text: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class RankerSettings:
    """How it is trained: AugCon's values where they suit a small encoder."""

    loss: Loss = "pairwise"
    epochs: int = 4
    batch_pairs: int = 4
    learning_rate: float = 5e-5  # at its highest; linear, with a tenth of the steps of warm-up
    weight_decay: float = 0.01
    max_tokens: int = 512  # of a text and its question together
    seed: int = 0


def loss_of(better: Tensor, worse: Tensor, loss: Loss) -> Tensor:
    """The loss of pairs, by what the ranker says of each, (n,) and (n,)."""
    if loss == "means":
        return worse.sigmoid().mean() - better.sigmoid().mean()
    return torch.nn.functional.softplus(worse - better).mean()  # -log sigmoid(better - worse)


class QuestionRanker(PairRegressor):
    """An encoder of pairs of a text and a question."""

    def learn(self, pairs: Sequence[QuestionPair], settings: RankerSettings) -> None:
        """Fit the order of pairs; of none it stays as it is.

        Raises:
            RuntimeError: if the loss is no number any more.
        """
        if not pairs:
            return
        better = self._encode([(pair.text, pair.better) for pair in pairs])
        worse = self._encode([(pair.text, pair.worse) for pair in pairs])
        schedule = LinearSchedule(
            rows=len(pairs),
            epochs=settings.epochs,
            batch_rows=settings.batch_pairs,
            learning_rate=settings.learning_rate,
            warmup_share=0.1,
            seed=settings.seed,
        )
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        lengths = np.array([len(ids) for ids in better["input_ids"]], dtype=np.int64)
        step = 0
        for epoch in range(settings.epochs):
            for batch in schedule.epoch_batches(epoch, lengths):
                loss = loss_of(
                    self._forward(better, batch), self._forward(worse, batch), settings.loss
                )
                if not bool(torch.isfinite(loss)):
                    raise RuntimeError(
                        f"training diverged at step {step + 1}: lower learning_rate, now "
                        f"{settings.learning_rate:g}"
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(step)
                optimizer.step()
                optimizer.zero_grad()
                step += 1

    def rank(self, questions: Sequence[tuple[str, str]]) -> Floats:
        """(n,) what is said of texts with a question each; higher is better."""
        return self.predict(questions).values
