"""A trained model in the measuring engine, put together in memory and on no disk.

A trial measures some dozens of trainings once each; a merged copy of the model for each of them
would be half a gigabyte a piece, of a model of 135M parameters.
"""

from pathlib import Path

from fine_tune.files import ADAPTER_FOLDER, MODEL_FOLDER
from fine_tune.libraries import quiet_libraries
from scorers.measures.models.devices import resolve_device, use_allowed_cores
from scorers.measures.models.language_model import (
    HuggingFaceLanguageModel,
    read_causal_model,
    read_tokenizer,
)
from scorers.measures.models.model_folder import EXPERTS_CONFIG

DTYPE = "float32"
"""Whatever it was trained in: differences of trainings are smaller than the rounding of others."""


def load_trained_model(base: Path, training: Path | None) -> HuggingFaceLanguageModel:
    """The model that a training left, on the device that there is.

    Args:
        base: folder of the model that was trained, whose tokenizer and template are used.
        training: folder of the training; None: the model as it is.

    Raises:
        FileNotFoundError: if nothing trained lies in the folder.
    """
    from typing import Any

    use_allowed_cores()
    device = resolve_device("auto")
    if training is not None and (training / MODEL_FOLDER).is_dir():
        base, training = training / MODEL_FOLDER, None
    model: Any = read_causal_model(base, DTYPE)
    if training is not None:
        if not (training / ADAPTER_FOLDER).is_dir():
            raise FileNotFoundError(f"{training} holds no {ADAPTER_FOLDER} and no {MODEL_FOLDER}")
        from peft import PeftModel

        from fine_tune.experts import load_experts

        adapter = training / ADAPTER_FOLDER
        with quiet_libraries():
            if (adapter / EXPERTS_CONFIG).is_file():
                model = load_experts(model, adapter)
            else:
                model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return HuggingFaceLanguageModel(model.to(device), read_tokenizer(base))
