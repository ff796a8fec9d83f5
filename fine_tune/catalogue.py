"""The methods of training that a recipe can choose from. What each does is in its own file."""

from typing import Annotated

from pydantic import Field

from fine_tune.methods.antidote import Antidote
from fine_tune.methods.asft import ASFT
from fine_tune.methods.coba import CoBa
from fine_tune.methods.cofitune import CoFiTune
from fine_tune.methods.corda import CorDA
from fine_tune.methods.dft import DFT
from fine_tune.methods.dpo import DPO
from fine_tune.methods.eva import EVA
from fine_tune.methods.fait import FAIT
from fine_tune.methods.hft import HFT
from fine_tune.methods.ift import IFT
from fine_tune.methods.lines import LiNeS
from fine_tune.methods.lora_ga import LoRAGA
from fine_tune.methods.lora_sb import LoRASB
from fine_tune.methods.loramoe import LoRAMoE
from fine_tune.methods.masked_thought import MaskedThought
from fine_tune.methods.mezo import MeZO
from fine_tune.methods.mixup import Mixup
from fine_tune.methods.poft import PoFT
from fine_tune.methods.q_tuning import PrunedBatches
from fine_tune.methods.reg_lora import RegLoRA
from fine_tune.methods.roste import RoSTE
from fine_tune.methods.sftmix import SFTMix
from fine_tune.methods.tl_training import TLTraining

Method = Annotated[
    TLTraining
    | CoBa
    | MaskedThought
    | DFT
    | PoFT
    | Mixup
    | SFTMix
    | PrunedBatches
    | IFT
    | RegLoRA
    | ASFT
    | DPO
    | FAIT
    | LoRAMoE
    | EVA
    | HFT
    | CoFiTune
    | RoSTE
    | CorDA
    | LoRAGA
    | LoRASB
    | MeZO
    | LiNeS
    | Antidote,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
