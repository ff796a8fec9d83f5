"""Train two steps in as many processes as torchrun starts, and save what the first came to.

torchrun --nproc_per_node 2 train_in_processes.py EXPORT MODEL FOLDER SETTINGS_AS_JSON
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import set_seed

from fine_tune.checked_rows import checked_trainer
from fine_tune.libraries import quiet_libraries
from fine_tune.settings import TrainSettings
from storage.exports_manifest import read_manifest


def main() -> None:
    """Train."""
    torch.set_num_threads(1)
    export, model, folder = map(Path, sys.argv[1:4])
    rank = os.environ.get("RANK", "0")
    settings = TrainSettings.model_validate_json(sys.argv[4])
    with quiet_libraries():
        manifest = read_manifest(export)
        trainer = checked_trainer(export, manifest, model, folder / rank, settings).trainer
        set_seed(settings.seed)
        trainer.train()
    if rank == "0":
        trained = {
            name: parameter.detach().contiguous()
            for name, parameter in trainer.loaded_model().named_parameters()
            if parameter.requires_grad
        }
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        save_file({**trained, "losses": torch.tensor(losses)}, folder / "trained.safetensors")
    # Not by the interpreter's own end: threads of gloo still run then, and now and then they abort
    # the process; where the group is destroyed first, they wait for a lock that its end holds.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
