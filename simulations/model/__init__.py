"""The rules of recovery (design, section 7) as an executable model that is searched state by state. Pure but for its
command line, and usable as an oracle beside the product.

>>> model = Recovery(Rules(), Bounds(nodes=3, budget=Budget(events=1, crashes=1)))
>>> state = model.initial()
>>> step, state = next(iter(model.steps(state)))
>>> tell_step(step)
'alice appends and syncs a batch: [0.a]'
>>> search(model).complete
True
"""

from __future__ import annotations

from simulations.model.chains import Batch, Chain
from simulations.model.checker import Result, apply, search
from simulations.model.protocol import Recovery
from simulations.model.rules import Rules
from simulations.model.states import Act, Answer, Author, Bounds, Budget, Mode, Promised, State, Step, Witness
from simulations.model.story import tell, tell_state, tell_step

__all__ = [
    "Recovery",
    "Rules",
    "Bounds",
    "Budget",
    "State",
    "Author",
    "Mode",
    "Witness",
    "Promised",
    "Answer",
    "Batch",
    "Chain",
    "Step",
    "Act",
    "search",
    "apply",
    "Result",
    "tell",
    "tell_step",
    "tell_state",
]
