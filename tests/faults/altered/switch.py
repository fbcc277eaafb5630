"""Which alterations are switched on: those of which there is a file. What has acted leaves a file as well."""

from __future__ import annotations

import os
import random
from pathlib import Path

VARIABLE = "FAULTS_FOLDER"
ACTED = ".acted"


def is_on(name: str) -> bool:
    """Say whether an alteration is to act; the caller then does so, and this is what is remembered."""
    if not is_set(name):
        return False
    Path(os.environ[VARIABLE], name + ACTED).touch()
    return True


def is_set(name: str) -> bool:
    """Say whether an alteration is switched on, without remembering that it acts."""
    folder = os.environ.get(VARIABLE)
    return folder is not None and Path(folder, name).exists()


def strikes(name: str, chance: float) -> bool:
    """Say by lot whether an alteration is to act this time."""
    return random.random() < chance and is_on(name)
