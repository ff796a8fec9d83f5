"""Keep the training libraries quiet and off the network while we use them.

TRL 1.16 reports every trainer it makes to the Hub, and `datasets`, transformers and tqdm draw bars
whether or not anybody looks. Warnings and errors are left alone, but for a deprecation that TRL
brings about by itself.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No telemetry, no hub, no progress bars inside; as it was before on the way out."""
    import datasets
    from huggingface_hub import constants
    from transformers.utils import logging

    before = constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY
    dataset_bars = not datasets.are_progress_bars_disabled()
    model_bars = logging.is_progress_bar_enabled()
    # The constants, not the environment: it was read when huggingface_hub was imported.
    constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY = True, True
    datasets.disable_progress_bars()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            # TRL uses these old names itself, whatever it is given.
            warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated")
            yield
    finally:
        constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY = before
        if dataset_bars:
            datasets.enable_progress_bars()
        if model_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
