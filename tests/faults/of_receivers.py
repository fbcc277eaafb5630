"""What happens to receivers: they refuse everything, or break connections off."""

from __future__ import annotations

from random import Random

from tests.faults.fault import Faults, last
from tests.faults.site import Site

fault = Faults("receiver")


@fault(seconds=2, longest=4)
def the_receiver_answers_503(site: Site, random: Random, seconds: float) -> None:
    with site.receiver.refusing(503):
        last(seconds)


@fault(seconds=2, longest=4)
def the_receiver_breaks_connections_off(site: Site, random: Random, seconds: float) -> None:
    with site.receiver.refusing(0):
        last(seconds)
