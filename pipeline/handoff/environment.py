"""The environment that a trainer's own code reads a handoff in, with the versions it asks for.

A trainer pins other versions of `transformers` and `datasets` than are installed here, so these are
installed into an environment of their own, without what they ask for themselves: what is missing
there, torch above all, is found in the environment that this runs in. That is enough to read and
tokenise rows and not to train.
"""

import sys
import sysconfig
from pathlib import Path

from pipeline.handoff.trainer import Trainer
from pipeline.progress import Report, Say, tell_nobody
from pipeline.serving.own_environment import OwnEnvironment, SetUpSteps, set_up_once
from scorers.measures.models.model_cache import default_cache, text_fingerprint

STEPS = 2  # the environment, and its packages
HERE_FILE = "zz_installed_here.pth"
"""Names the packages of this environment; read last, so that those installed there come first."""


def trainers_place() -> Path:
    """The folder of such environments in the user's cache."""
    return default_cache() / "trainers"


def environment_of(trainer: Trainer, place: Path) -> OwnEnvironment:
    """The environment of a trainer; other packages, or another one of ours, are another folder."""
    made_of = text_fingerprint("\n".join([sys.prefix, sys.version, *trainer.packages]))[:8]
    return OwnEnvironment(place / f"{trainer.name}-{trainer.version}-{made_of}")


def set_up_trainer(
    trainer: Trainer, place: Path, say: Say, report: Report = tell_nobody
) -> OwnEnvironment:
    """Make the environment of a trainer, or find it made.

    Raises:
        EnvironmentSetUpError: if a step fails, as without an index of packages.
    """
    environment = environment_of(trainer, place)

    def make(steps: SetUpSteps) -> str:
        say(f"setting up {trainer.name} {trainer.version}, once, in {environment.directory}")
        steps.run(sys.executable, "-m", "venv", "--without-pip", str(environment.directory))
        here = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        names = "\n".join(dict.fromkeys(here)) + "\n"
        (_site_packages(environment) / HERE_FILE).write_text(names, encoding="utf-8")
        steps.run(
            *(sys.executable, "-m", "pip", "--python", str(environment.python), "install"),
            *("--no-deps", "--disable-pip-version-check", "--no-input"),
            # Packages that are found here would count as installed, whatever their version.
            *("--ignore-installed", *trainer.packages),
        )
        return " ".join(trainer.packages)

    set_up_once(environment, f"{trainer.name}", STEPS, make, say, report)
    return environment


def _site_packages(environment: OwnEnvironment) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment.directory / "lib" / version / "site-packages"
