"""The trainers that exports can be handed to. What each reads, and makes of it, is in its file."""

from collections.abc import Mapping

from pipeline.handoff.trainer import Trainer
from pipeline.handoff.trainers.axolotl import AXOLOTL
from pipeline.handoff.trainers.llamafactory import LLAMAFACTORY
from pipeline.handoff.trainers.ms_swift import MS_SWIFT
from pipeline.handoff.trainers.open_instruct import OPEN_INSTRUCT
from pipeline.handoff.trainers.trl import TRL
from pipeline.handoff.trainers.verl import VERL

TRAINERS: Mapping[str, Trainer] = {
    trainer.name: trainer for trainer in (TRL, LLAMAFACTORY, AXOLOTL, MS_SWIFT, OPEN_INSTRUCT, VERL)
}
"""By what `sluice handoff --to` calls them."""
