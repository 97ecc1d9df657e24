"""A forecast, said as a forecast: "at this rate above 8 degrees in about 40 minutes". Pure: no I/O, no clock.

``forecast(situation, now_ms)`` gives a ``Forecast`` or None; ``look`` gives the reason for a None. It is no finding:
it alarms nobody, changes no reading and no verdict, and is forgotten when the next one is made.

Two ways of knowing, and silence (``docs/decisions/0026``; measured in ``benchmarks/forecast.md``):

* ``curve``: the warming curve is an exponential approach to the room's temperature, fitted robustly;
* ``holdover``: in a power cut, how long this equipment held in the cuts before (or the HOLD that an appliance of WHO
  PQS E006/DS01 says itself).
"""

from alerts.forecast.decide import forecast, look
from alerts.forecast.holdover import Holdover
from alerts.forecast.model import Basis, Forecast, Silence, Situation
from alerts.forecast.watch import Watch

__all__ = ["Basis", "Forecast", "Holdover", "Silence", "Situation", "Watch", "forecast", "look"]
