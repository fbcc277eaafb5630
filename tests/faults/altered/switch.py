"""Which alterations are switched on: those of which there is a file. What has acted leaves a file as well."""

from __future__ import annotations

import os
import random
from pathlib import Path

VARIABLE = "FAULTS_FOLDER"
ACTED = ".acted"


def is_on(name: str) -> bool:
    """Say whether an alteration is to act; the caller then does so, and this is what is remembered."""
    folder = os.environ.get(VARIABLE)
    if folder is None or not Path(folder, name).exists():
        return False
    Path(folder, name + ACTED).touch()
    return True


def strikes(name: str, chance: float) -> bool:
    """Say by lot whether an alteration is to act this time."""
    return random.random() < chance and is_on(name)
