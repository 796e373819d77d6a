"""The product made to do what the model of recovery does, step by step, and held against it. Does no I/O.

One author and her witnesses are real protocol cores with stores in memory. They hear only what a step of the
model says; whatever a step leaves open (who brings a message, what else is heard meanwhile, where a process
dies) is chosen at random, and may change nothing that the model sees.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from random import Random

from hydra_sync.batch import Batch, seal_batch
from hydra_sync.chain import EMPTY, Tip
from hydra_sync.epoch import Answer, Grant, epoch_event, open_answer, open_ballot
from hydra_sync.identity import MemberKey, SigningKey
from hydra_sync.limits import ASK_AGAIN_S, PASS_AGAIN_S
from hydra_sync.standing import Standing
from hydra_sync.sync import Drop, Effect, LostDisk, Persist, Remembers, Replicator
from hydra_sync.sync.starting import Starting
from hydra_sync.wire import Data, End, Hello, LogState, LogTip, Message, Prepare, Promise, Refuse, Stable, Tips
from simulations.model import Act, Chain, Mode, Promised, Recovery, Step
from simulations.model.chains import common, epoch_of, holds, key_of
from simulations.model.properties import stable
from simulations.model.replicas import justified, sources, takes
from simulations.model.starting import knows
from simulations.model.states import Witness
from tests.sync.pump import Node, hello, network_of, signing_keys, tip_of

__all__ = ["Follower"]


class World:
    """What all processes have in common, in the shape that `Node` knows."""

    now = 100.0

    def __init__(self, count: int) -> None:
        self.keys = signing_keys(count)
        self.members = [key.member for key in self.keys]
        self.network = network_of(self.keys)
        self.numbers = 0

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Nothing happens later than at once."""

    def number(self) -> int:
        self.numbers += 1
        return self.numbers


@dataclass
class Line:
    """A connection whose other end is played."""

    said: list[Message] = field(default_factory=list)
    latency: float = 0

    def send(self, _: Node, message: Message) -> None:
        self.said.append(message)


class Process(Node):
    """A core and its store. ``dies_at``: it is killed before it carries out the first effect of this kind."""

    def __init__(self, world: World, key: SigningKey, *, founding: bool = False, proves: bool = True) -> None:
        self.world = world
        self.todo: deque[Callable[[], None]] = deque()
        self.dies_at: type[Effect] | None = None
        self.dead = False
        self.wants_founding = founding
        super().__init__(world, key, proves=proves)  # type: ignore[arg-type]
        self.founding = founding
        self.start()

    def start(self) -> None:
        """Begin again from what is durable."""
        self.generation += 1
        self.dead, self.dies_at = False, None
        self.todo.clear()
        self.lines.clear()
        store_id = hashlib.sha256(self.me + bytes([self.store_number])).digest()[:16]
        start = hashlib.sha256(self.world.number().to_bytes(4)).digest()[:16]
        self.replicator = Replicator(
            key=self.key,
            network=self.world.network,
            hello=hello(self.world.network, store_id=store_id, founding=self.founding),
            held={member: LogTip(member, tip_of(log)) for member, log in self.logs.items()},
            seed=self.me[:8],
            standings=self.standings,
            start=start if self.proves else None,
        )

    @property
    def starting(self) -> Starting:
        starting = self.replicator.agreement.starting
        assert starting is not None
        return starting

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if self.dies_at is not None and isinstance(effect, self.dies_at):
                self.dead = True
            if self.dead:
                return
            self.effects.append(effect)
            self._perform(effect)

    def later(self, delay: float, act: Callable[[], None]) -> None:
        self.todo.append(act)

    def settle(self) -> None:
        """Carry out everything that is under way."""
        while self.todo and not self.dead:
            self.todo.popleft()()

    def meet(self, peer: MemberKey, *shown: LogTip) -> int:
        """A connection to ``peer``, which greets and shows this much."""
        number = self.world.number()
        self.lines[number] = Line()  # type: ignore[assignment]
        self.perform(self.replicator.connect(number, peer, dialed=True, now=self.world.now))
        self.hear(number, hello(self.world.network))
        self.hear(number, Tips(True, shown))
        return number

    def hear(self, number: int, message: Message) -> None:
        self.perform(self.replicator.receive(number, message, self.world.now))
        self.settle()

    def part(self, number: int) -> list[Message]:
        """End a connection; all that was said on it."""
        said: list[Message] = self.lines.pop(number).said  # type: ignore[attr-defined]
        self.perform(self.replicator.disconnect(number, "parted", self.world.now))
        self.settle()
        return said

    def told(self, peer: MemberKey, *shown: LogTip, say: Sequence[Message] = ()) -> list[Message]:
        """Meet, hear, part: what was said, but for answers to earlier ballots that were said again on meeting."""
        number = self.meet(peer, *shown)
        stale = [said for said in self.lines[number].said if isinstance(said, Promise)]  # type: ignore[attr-defined]
        for message in say:
            self.hear(number, message)
        said = self.part(number)
        for message in stale:
            said.remove(message)
        return said

    def shows(self, log: MemberKey) -> LogTip:
        return self.replicator.agreement.shown(log)

    def noticed(self, kind: type[Effect], since: int) -> bool:
        return any(isinstance(effect, kind) for effect in self.effects[since:])


class Follower:
    """Follows a walk through the model. Any difference is an `AssertionError`."""

    def __init__(self, model: Recovery, chance: Random) -> None:
        self.model, self.chance = model, chance
        self.state = model.initial()
        self.world = World(model.bounds.nodes)
        founding = model.bounds.founding
        author, *others = self.world.keys
        self.log = author.member
        self.author = Process(self.world, author, founding=founding, proves=founding)
        self.twin: Process | None = None
        self.witnesses = [Process(self.world, key, founding=founding) for key in others]
        self.batches: dict[Chain, Batch] = {}
        self.chains: dict[bytes, Chain] = {}
        self.start_ids: dict[int, bytes] = {}
        self.answers: dict[tuple[int, Promised], Promise] = {}
        self.reminded = [False] * len(others)
        self.once_shown: list[tuple[int, LogTip]] = []
        self.trace: list[Step | str] = []
        self._know_start()

    # Driving

    def walk(self, length: int) -> None:
        """Random steps, and what must change nothing between them; compared after each.

        Where every disk that knew was lost and made anew, even the model forks: nothing follows.
        """
        self.compare()
        for _ in range(length):
            self.disturb()
            self.compare()
            offered: dict[Act, list[Step]] = {}
            for step, _after in self.model.steps(self.state):
                offered.setdefault(step.act, []).append(step)
            acts = list(offered)
            self.chance.shuffle(acts)
            for act in acts:
                if self.follow(self.chance.choice(offered[act])):
                    break
            else:
                return
            if self.model.broken(self.state):
                return
            self.compare()

    def follow(self, step: Step) -> bool:
        """Do what the step says, in the model and in the product. False if it cannot be followed just so."""
        return bool(getattr(self, f"_{step.act.name.lower()}")(step))

    def _apply(self, step: Step) -> None:
        self.trace.append(step)
        self.state = self.model.apply(self.state, step)

    def _know_start(self) -> None:
        if self.author.proves:
            self.start_ids[self.state.starts] = self.author.starting.start

    def run(self, chain: Chain) -> list[Batch]:
        """The real batches of a chain."""
        return [self.batches[chain[:stop]] for stop in range(1, len(chain) + 1)]

    def tip(self, chain: Chain) -> Tip:
        return Tip.after(self.batches[chain]) if chain else EMPTY

    def _name(self, chain: Chain, batch: Batch) -> None:
        self.batches[chain], self.chains[batch.hash] = batch, chain

    def witness(self, who: int) -> Process:
        return self.witnesses[who - 1]

    def _open(self, who: int) -> None:
        """A witness's process starts; one whose own log somebody knows is shown it before anything else."""
        witness = self.witness(who)
        witness.start()
        if witness.replicator.agreement.witness.unknown and not self.model_witness(who).founding:
            self._reveal(witness)

    def _reveal(self, witness: Process) -> None:
        others = [member for member in self.world.members if member != witness.me]
        witness.told(self.chance.choice(others), LogTip(witness.me, Tip(1, 3, b"\x07" * 32)))

    def model_witness(self, who: int) -> Witness:
        return self.state.witnesses[who - 1]

    def fetch(self, process: Process, batches: Sequence[Batch]) -> None:
        """Let a real source that holds just these batches supply them to ``process``, if it wants them."""
        peers = [key for key in self.world.keys if key.member not in (process.me, self.log)] or [self.world.keys[0]]
        source = Process(self.world, self.chance.choice(peers), proves=False)
        source.logs[self.log] = list(batches)
        source.start()
        there, here, mark = source.meet(process.me), self.world.number(), len(process.effects)
        process.lines[here] = Line()  # type: ignore[assignment]
        process.perform(process.replicator.connect(here, source.me, dialed=True, now=self.world.now))
        held = LogTip(self.log, tip_of(batches), state=LogState.FOUNDING)  # no receipt, and nobody is reminded by it
        process.hear(here, hello(self.world.network))
        process.hear(here, Tips(True, (held,)))
        mine, theirs = process.lines[here], source.lines[there]
        source_said: list[Message] = theirs.said  # type: ignore[attr-defined]
        process_said: list[Message] = mine.said  # type: ignore[attr-defined]
        source_said.clear()
        while process_said or source_said:
            while process_said:
                message = process_said.pop(0)
                if not isinstance(message, Hello | Tips | Prepare | Promise | Refuse | Stable):
                    source.hear(there, message)
            while source_said:
                message = source_said.pop(0)
                if isinstance(message, Data | End):
                    process.hear(here, message)
        blamed = process.noticed(Drop, mark)
        assert not blamed or not self._is_justified(batches), f"an honest source was blamed: {process.drops()}"
        process.part(here)
        self.world.now += 60  # nobody is shunned any more

    def _is_justified(self, batches: Sequence[Batch]) -> bool:
        return not batches or justified(self.chains[batches[-1].hash])

    # Steps of the author

    def _append(self, step: Step) -> bool:
        assert self.author.is_ready
        self._apply(step)
        self.author.write(1)
        self.author.settle()
        self._name(step.chain, self.author.logs[self.log][-1])
        return True

    def _twin_append(self, step: Step) -> bool:
        assert self.twin is not None
        assert self.twin.is_ready
        self._apply(step)
        self.twin.write(1)
        self.twin.settle()
        self._name(step.chain, self.twin.logs[self.log][-1])
        return True

    def _shows(self, who: int) -> LogTip:
        shown = self.witness(who).shows(self.log)
        self.once_shown.append((who, shown))
        return shown

    def _prepare(self, _: Step) -> bool:
        """The product picks the number; the model must allow it."""
        starting = self.author.starting
        if starting.number == 0:
            who = self.chance.randint(1, len(self.witnesses))
            shown = self._shows(who)
            if self.author.replicator.agreement.witness.founding and shown.tip != EMPTY:
                return False  # that would recognise it
            self.author.told(self.witness(who).me, shown)
        self._asked()
        return True

    def _asked(self) -> None:
        """The author has asked: so does the model."""
        self._apply(Step(Act.PREPARE, 0, (), self.author.starting.number))

    def _ballot(self, process: Process, who: int) -> Prepare:
        """What the author says to a witness that connects."""
        said = process.told(self.witness(who).me, *self._if_harmless(process, who))
        (message,) = [message for message in said if isinstance(message, Prepare)]
        return message

    def _if_harmless(self, process: Process, who: int) -> tuple[LogTip, ...]:
        shown = self._shows(who)
        founding = process.replicator.agreement.witness.founding
        return () if founding and shown.tip != EMPTY else (shown,)

    def _brought(self, witness: Process, message: Message) -> list[Message]:
        """The message reaches the witness from its author, or through another member; what is said then."""
        self.world.now += PASS_AGAIN_S  # or it would keep what is newer for a while
        relays = [other.me for other in self.witnesses if other is not witness]
        if relays and self.chance.random() < 0.4:
            return witness.told(self.chance.choice(relays), say=[message])
        return witness.told(self.log, say=[message])

    def _ask(self, who: int, prepare: Prepare) -> list[Message]:
        """A witness gets a ballot, and may die before its promise is durable, or before it is said."""
        witness = self.witness(who)
        if self.chance.random() < 0.3:
            witness.dies_at = Persist
            said = self._brought(witness, prepare)
            if witness.dead:
                assert not any(isinstance(message, Promise) for message in said), "a promise before it is durable"
            self._open(who)
        if self.chance.random() < 0.2:
            said = self._brought(witness, prepare)
            self._open(who)
            again = self._brought(witness, prepare)
            assert [m for m in said if isinstance(m, Promise)] == [m for m in again if isinstance(m, Promise)]
            return again
        return self._brought(witness, prepare)

    def _promise(self, step: Step) -> bool:
        self._promised(step, self.author, Promised(step.number, self.state.starts))
        return True

    def _twin_promise(self, step: Step) -> bool:
        assert self.twin is not None
        self._promised(step, self.twin, self.state.author.twin.asked)
        return True

    def _promised(self, step: Step, author: Process, promised: Promised) -> None:
        said = self._ask(step.who, self._ballot(author, step.who))
        self._apply(step)
        promises = [message for message in said if isinstance(message, Promise)]
        assert promises, f"no promise, but {said}"
        self.answers[step.who, promised] = promises[-1]

    def _refuse(self, step: Step) -> bool:
        who, before = step.who, self.witness(step.who).standings.get(self.log)
        said = self._ask(who, self._ballot(self.author, who))
        refusals = [message for message in said if isinstance(message, Refuse)]
        assert refusals, f"no refusal, but {said}"
        assert self.witness(who).standings.get(self.log) == before
        self._apply(step)
        number = self.author.starting.number
        self.author.told(self.witness(who).me, say=refusals)
        if self.author.starting.number == number:  # enough others may answer, and are waited for
            agreement = self.author.replicator.agreement
            self.author.perform(agreement.tick(self.author.starting.asked_at + ASK_AGAIN_S))
        assert self.author.starting.number > number
        self._asked()
        return True

    def _climb(self, _: Step) -> bool:
        """Any witness that promised more than our epoch makes us start again, above it."""
        epoch = epoch_of(self.state.author.chain)
        able = [
            who
            for who, one in enumerate(self.state.witnesses, 1)
            if one.promised.ballot > max(epoch, epoch_of(one.chain)) and not one.amnesiac
        ]
        if self.author.replicator.agreement.starting is None or not able:
            return False  # where a later epoch has begun, the author stops
        who = self.chance.choice(able)
        witness = self.witness(who)
        said = witness.told(self.log, self.author.shows(self.log))
        refusals = [message for message in said if isinstance(message, Refuse)]
        assert refusals, "a witness cannot follow, and does not say so"
        self.author.told(witness.me, say=refusals)
        assert not self.author.is_ready
        highest = max(one.promised.ballot for one in self.state.witnesses if not one.amnesiac)
        self._apply(Step(Act.CLIMB, 0, (), highest))
        self._asked()
        return True

    def _recognised(self, step: Step) -> bool:
        if step.who:
            return self._witness_recognised(step)
        who = step.number
        mark = len(self.author.effects)
        by_tips = bool(self.model_witness(who).chain)
        asked = self.state.author.ballot if not by_tips else self.author.starting.number
        promised_above = self.author.replicator.agreement._promised_above if by_tips else 0
        again = Step(Act.PREPARE, 0, (), max(asked, promised_above) + 1)
        if again not in [one for one, _ in self.model.steps(self.model.apply(self.state, step))]:
            return False  # it asks above all that it has asked before
        if by_tips:
            self.author.told(self.witness(who).me, self._shows(who))
        else:
            said = self._ask(who, self._ballot(self.author, who))
            promises = [message for message in said if isinstance(message, Promise)]
            assert promises
            self.author.told(self.witness(who).me, say=promises)
        assert self.author.noticed(LostDisk, mark)
        self._apply(step)
        self._know_start()
        self._asked()
        return True

    def _chosen_answers(self, step: Step, asked: Promised, own: Chain) -> list[int] | None:
        """Witnesses whose answers make the author stand where the step says."""
        founding = self.state.author.founding and step.act is not Act.TWIN_COMMIT
        needed = self.model.bounds.nodes - 1 if founding else self.model.bounds.answers
        tips = {
            who: answer.tip
            for who, one in enumerate(self.state.witnesses, 1)
            for answer in one.answers
            if answer.promised == asked
        }
        fitting = []
        for some in combinations(tips, needed):
            chosen = [tips[who] for who in sorted(some, key=lambda who: tips[who])]
            grounds = max(map(key_of, chosen)) if self.model.bounds.budget.bumps else (0, 0)
            stands = step.act is Act.BUMP or max((own, *chosen), key=key_of) == step.chain[:-1]
            if stands and (step.act is Act.TWIN_COMMIT or step.chain[-1].grounds == grounds):
                fitting.append(list(some))
        return self.chance.choice(fitting) if fitting else None

    def _commit(self, step: Step) -> bool:
        self._committed(step, self.author, Promised(step.number, self.state.starts))
        return True

    def _twin_commit(self, step: Step) -> bool:
        assert self.twin is not None
        self._committed(step, self.twin, self.state.author.twin.asked)
        return True

    def _committed(self, step: Step, author: Process, asked: Promised) -> None:
        own = self.state.author.chain if author is self.author else self.state.author.twin.chain
        chosen = self._chosen_answers(step, asked, own)
        assert chosen is not None
        self.chance.shuffle(chosen)
        mark = len(author.effects)
        for who in chosen:
            assert not author.is_ready
            author.told(self.witness(who).me, say=[self.answers[who, asked]])
        if step.chain[:-1] != own:
            assert author.noticed(LostDisk, mark)
            assert not author.is_ready
            self.fetch(author, self.run(step.chain[:-1]))
        else:
            assert not author.noticed(LostDisk, mark)
        assert author.is_ready
        self._apply(step)
        (*_, last) = author.logs[self.log]
        assert last.header.epoch == step.number
        self._name(step.chain, last)

    def _bump(self, step: Step) -> bool:
        """A byzantine author: valid answers, but a branch of its own choice."""
        asked = Promised(step.number, self.state.starts)
        chosen = self._chosen_answers(step, asked, self.state.author.chain)
        if chosen is None or self.state.author.founding:
            return False
        given = {self.witness(who).me: self.answers[who, asked].answer for who in chosen}
        event = epoch_event(Grant(step.number, self.author.starting.start, False, given))
        branch = self.run(step.chain[:-1])
        tip = tip_of(branch)
        batch = seal_batch(
            self.author.key,
            self.world.network,
            [event],
            epoch=step.number,
            first_seq=tip.next_seq,
            time_us=1,
            prev_hash=tip.hash,
        )
        self._apply(step)
        self._name(step.chain, batch)
        self.author.logs[self.log] = [*branch, batch]
        self.author.standings = {}
        self.author.proves = False
        self.author.start()
        return True

    # Steps of the witnesses

    def _fetch(self, step: Step) -> bool:
        self._apply(step)
        self.fetch(self.witness(step.who), self.run(step.chain))
        self._come_to(step.who)
        return True

    def _offer(self, who: int, chain: Chain) -> None:
        """Let the witness have these batches, whether they move its tip or are staged."""
        if takes(self.model.rules, self.model_witness(who), chain):
            self._fetch(Step(Act.FETCH, who, chain))
        elif self.held_chain(self.witness(who)) != chain:
            self._stage(who, chain)

    def _stage(self, who: int, chain: Chain) -> None:
        """Let the witness have batches that move no tip.

        But for a founding author it may matter that they are there, and the model does not see them.
        """
        bounds = self.model.bounds
        if self.model_witness(who).chain or not (bounds.founding or bounds.budget.inits):
            self.fetch(self.witness(who), self.run(chain))

    def _come_to(self, who: int) -> None:
        one = self.model_witness(who)
        if epoch_of(one.chain) >= one.promised.ballot:
            self.reminded[who - 1] = False

    def _kill(self, step: Step) -> bool:
        self._fetch(step)
        self._open(step.who)
        return True

    def _show_everything(self, who: int) -> bool:
        """A witness meets all others and the author, and is shown everything; whether that ended its amnesia."""
        witness, mark = self.witness(who), len(self.witness(who).effects)
        author = self.author.shows(self.log)
        others = [other for other in range(1, len(self.witnesses) + 1) if other != who]
        links = [witness.meet(self.witness(other).me, self._shows(other)) for other in others]
        link = witness.meet(self.log, author)
        starting = self.author.replicator.agreement.starting
        if not self.author.is_ready and starting is not None and starting.number:
            said = self.author.told(witness.me)
            prepare = next(message for message in said if isinstance(message, Prepare))
            witness.hear(link, prepare)
        for one in [*links, link]:
            witness.part(one)
        return witness.noticed(Remembers, mark)

    def _caught_up(self, step: Step) -> bool:
        who, author = step.who, self.state.author
        if author.mode is not Mode.READY and not author.ballot:
            return False  # the product waits for the ballot
        witness = self.witness(who)
        self._offer(who, author.chain)
        held = self.held_chain(witness)
        if epoch_of(held) != epoch_of(author.chain) or len(held) < len(author.chain):
            return False  # the product waits for the author's next epoch
        remembers = self._show_everything(who)
        assert remembers, f"it holds what the author shows, and stays amnesiac: {witness.standings[self.log]}"
        self._apply(step)
        one = self.model_witness(who)
        self.reminded[who - 1] = epoch_of(one.chain) < one.promised.ballot
        return True

    def _witness_recognised(self, step: Step) -> bool:
        witness = self.witness(step.who)
        mark = len(witness.effects)
        self._reveal(witness)
        assert witness.noticed(LostDisk, mark)
        self._apply(step)
        return True

    def _founded(self, step: Step) -> bool:
        """All others answer the witness, which begins the first epoch of its own log."""
        witness = self.witness(step.who)
        others = [key for key in self.world.keys if key.member != witness.me]
        said = witness.told(others[0].member)
        (prepare,) = [message for message in said if isinstance(message, Prepare) and message.log == witness.me]
        ballot = open_ballot(prepare.ballot, self.world.network, witness.me)
        for key in others:
            answer = Answer(ballot.number, ballot.start, EMPTY, False, bytes(16))
            signed = answer.sign(key, self.world.network, witness.me)
            if not witness.is_ready:
                witness.told(key.member, say=[Promise(witness.me, key.member, signed)])
        assert witness.is_ready
        assert not witness.founding
        self._apply(step)
        self._come_to(step.who)
        return True

    # Faults

    def _crash(self, step: Step) -> bool:
        self._apply(step)
        self.author.proves = True
        self.author.start()
        self._know_start()
        return True

    def _wipe(self, step: Step) -> bool:
        self._apply(step)
        self.author.proves = True
        self.author.lose_disk()
        self._know_start()
        return True

    def _init(self, step: Step) -> bool:
        self._apply(step)
        self.author.proves = True
        self.author.lose_disk(recover=False)
        self._know_start()
        return True

    def _lie(self, step: Step) -> bool:
        self._apply(step)
        self.author.logs[self.log] = self.run(step.chain)
        self.author.proves = True
        self.author.start()
        self._know_start()
        return True

    def _twin(self, step: Step) -> bool:
        old = self.author
        self._apply(step)
        self.twin = old
        self.author = Process(self.world, old.key)
        self.author.logs = {member: list(log) for member, log in old.logs.items()}
        self.author.standings = dict(old.standings)
        self.author.store_number = old.store_number
        self.author.founding = old.founding
        self.author.start()
        self._know_start()
        return True

    def _witness_wipe(self, step: Step) -> bool:
        self._apply(step)
        self.witness(step.who).lose_disk()
        self._open(step.who)
        self.reminded[step.who - 1] = False
        return True

    def _witness_init(self, step: Step) -> bool:
        self._apply(step)
        self.witness(step.who).lose_disk(recover=False)
        self.reminded[step.who - 1] = False
        return True

    def _cut(self, step: Step) -> bool:
        self._apply(step)
        witness = self.witness(step.who)
        witness.logs[self.log] = self.run(step.chain)
        before = witness.standings.get(self.log, Standing())
        witness.standings[self.log] = replace(before, amnesiac=True)
        self._open(step.who)
        return True

    def _witness_lie(self, step: Step) -> bool:
        shown = self.model_witness(step.who).shown
        if step.chain and not any(holds(one, step.chain) and epoch_of(one) == epoch_of(step.chain) for one in shown):
            return False  # there was no such day: it was reminded of this, and silent
        self._apply(step)
        witness = self.witness(step.who)
        witness.logs[self.log] = self.run(step.chain)
        witness.standings[self.log] = Standing()
        self._open(step.who)
        self.reminded[step.who - 1] = False
        return True

    # What changes nothing

    def disturb(self) -> None:
        """Something that the model does not see."""
        act = self.chance.choice(
            [
                self._restart_witness,
                self._offer_in_vain,
                self._ask_in_vain,
                self._remind_in_vain,
                self._show,
                self._show,
            ]
        )
        self.trace.append(act.__name__)
        act()

    def _restart_witness(self) -> None:
        self._open(self.chance.randint(1, len(self.witnesses)))

    def _offer_in_vain(self) -> None:
        who = self.chance.randint(1, len(self.witnesses))
        one = self.model_witness(who)
        offers = [chain for chain in sources(self.state, self.model.bounds) if not takes(self.model.rules, one, chain)]
        if offers:
            self._stage(who, self.chance.choice(offers))

    def _ask_in_vain(self) -> None:
        author = self.state.author
        if author.mode is Mode.READY or not author.ballot:
            return
        may = {step.who for step, _ in self.model.steps(self.state) if step.act in (Act.PROMISE, Act.REFUSE)}
        who = self.chance.randint(1, len(self.witnesses))
        one = self.model_witness(who)
        if who in may or (author.founding and knows(one, author)):
            return
        asked = Promised(author.ballot, self.state.starts)
        given = [answer for answer in one.answers if answer.promised == asked]
        if given and self.witness(who).standings[self.log].answer != self.answers[who, asked].answer:
            return  # that was another store
        said = self._ask(who, self._ballot(self.author, who))
        promises = [message for message in said if isinstance(message, Promise)]
        if given:
            assert {message.answer for message in promises} <= {self.answers[who, asked].answer}
        else:
            assert not promises, "a promise of who may not give any"
            assert not any(isinstance(message, Refuse) for message in said)

    def _remind_in_vain(self) -> None:
        may = {step.who for step, _ in self.model.steps(self.state) if step.act is Act.CAUGHT_UP}
        who = self.chance.randint(1, len(self.witnesses))
        author = self.state.author
        if who in may or not self.model_witness(who).amnesiac or author.founding:
            return
        self._offer(who, author.chain)
        assert not self._show_everything(who), "amnesia ended too early"

    def _show(self) -> None:
        """Tips reach somebody, perhaps late; the author's word, too."""
        who = self.chance.randint(1, len(self.witnesses))
        self._shows(who)
        if self.chance.random() < 0.5:
            who, shown = self.chance.choice(self.once_shown)
        else:
            shown = self._shows(who)
        if self.chance.random() < 0.5:
            founding = self.author.replicator.agreement.witness.founding
            if not (founding and shown.tip != EMPTY) and (self.author.is_ready or self.state.author.ballot):
                self.author.told(self.witness(who).me, shown)
        else:
            to = self.chance.choice(self.witnesses)
            if to is not self.witness(who):
                to.told(self.witness(who).me, shown)
            elif self.author.replicator.agreement.stability.stable.get(self.log):
                to.told(self.log, say=[self.author.replicator.agreement.word(self.log)])

    # Comparing

    def held_chain(self, process: Process) -> Chain:
        """What a process has of the log, staged batches included, as the model writes it."""
        log = process.logs[self.log]
        return self.chains[log[-1].hash] if log else ()

    def compare(self) -> None:
        """Whether product and model stand at the same point."""
        self._compare_author()
        for who in range(1, len(self.witnesses) + 1):
            self._compare_witness(who)
        self._compare_stable()

    def _compare_author(self) -> None:
        author, agreement = self.state.author, self.author.replicator.agreement
        assert [b.hash for b in self.author.logs[self.log]] == [b.hash for b in self.run(author.chain)]
        assert agreement.is_ready == (author.mode is Mode.READY)
        if author.mode is not Mode.READY:
            assert agreement.witness.founding == bool(author.founding)
            shown = agreement.shown(self.log)
            if author.mode is Mode.WIPED:
                assert shown.state is LogState.AMNESIAC
            else:
                assert shown.state is (LogState.FOUNDING if author.founding else LogState.RECOVERING)
            assert self.author.starting.start == self.start_ids[self.state.starts]
            if author.ballot:
                assert self.author.starting.number == author.ballot
        if self.twin is not None:
            twin = self.state.author.twin
            assert [b.hash for b in self.twin.logs[self.log]] == [b.hash for b in self.run(twin.chain)]
            assert self.twin.is_ready == (twin.asked.ballot == 0)

    def _compare_witness(self, who: int) -> None:
        one, process = self.model_witness(who), self.witness(who)
        agreement = process.replicator.agreement
        standing = agreement.witness.standings[self.log]
        assert process.standings.get(self.log, Standing()) == standing, "not durable"
        assert standing.amnesiac == one.amnesiac
        assert agreement.witness.unknown == one.founding, f"witness {who} is known: {not agreement.witness.unknown}"
        assert standing.promised == one.promised.ballot, f"witness {who} promised {standing.promised}"
        if standing.start and one.promised.start in self.start_ids:
            assert standing.start == self.start_ids[one.promised.start]
        shown = process.shows(self.log)
        if not one.amnesiac:  # else it counts for nothing
            assert shown.tip == self.tip(one.chain), f"witness {who} shows {shown.tip}, not {one.chain}"
        assert shown.state is self._state_of(who), f"witness {who} is {shown.state}, not {self._state_of(who)}"
        if shown.state is LogState.OK and one.chain:
            epoch = epoch_of(one.chain)
            assert any(holds(tip, one.chain) and epoch_of(tip) == epoch for tip in one.shown), "this is no receipt"
        for answer in one.answers:
            message = self.answers[who, answer.promised]
            said = open_answer(message.answer, self.world.network, self.log, process.me)
            assert (said.number, said.tip) == (answer.promised.ballot, self.tip(answer.tip))
            assert said.start == self.start_ids[answer.promised.start]

    def _state_of(self, who: int) -> LogState:
        one = self.model_witness(who)
        if one.amnesiac:
            return LogState.AMNESIAC
        if self.reminded[who - 1]:
            return LogState.RECOVERING
        return LogState.FOUNDING if one.founding else LogState.OK

    def _compare_stable(self) -> None:
        histories = [history for history, _ in stable(self.model.rules, self.model.bounds, self.state)]
        for process in (self.author, *self.witnesses):
            reach = process.replicator.agreement.stability.stable.get(self.log, 0)
            if reach:
                chain = self.held_chain(process)[:reach]
                assert any(holds(history, chain) for history in histories), f"{chain} is not stable"

    def all_show(self) -> None:
        """Everybody shows the author what counts: it knows what is stable by the model's reckoning, no less."""
        agreement = self.author.replicator.agreement
        if agreement.witness.founding or not self.author.is_ready:
            return
        before, chain = agreement.stability.stable.get(self.log, 0), self.state.author.chain
        counted = []
        for who, one in enumerate(self.state.witnesses, 1):
            self.author.told(self.witness(who).me, self._shows(who))
            if self._state_of(who) is LogState.OK and epoch_of(one.chain) == epoch_of(chain):
                counted.append(len(common(one.chain, chain)))
        needed = self.model.bounds.majority - 1
        reach = sorted(counted)[-needed] if len(counted) >= needed else 0
        assert agreement.stability.stable.get(self.log, 0) == max(before, reach)
