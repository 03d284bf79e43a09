/**
 * The replicated state machine. Apply is synchronous, total and deterministic: what it does depends on the entry and on the
 * rows alone, so that the same entries give the same rows, answers and events on every replica (R7).
 *
 * An apply, in order:
 * M1. The fields that every command carries are checked; a command that fails here changes nothing, not even the time.
 * M2. State time = max(state time, command time). The first command of a term marks the term's start.
 * M3. Due timers run (timers.ts).
 * M4. The session answers from memory, refuses, or lets the command in (session.ts).
 * M5. The handler rejects without a change, or carries out.
 * M6. The answer is remembered, the events are recorded under the entry's index, the command goes to the audit log.
 */
import { assert } from '../types/assert.ts';
import { type LogIndex, logIndex, type Revision, revision } from '../types/ids.ts';
import type { Applied, MachineLoader, ReplicatedMachine } from './api.ts';
import { recordAudit } from './audit/audit.ts';
import type { ApplyContext } from './context.ts';
import { dispatch } from './dispatch.ts';
import { recordEvents } from './history.ts';
import { Loader, TOTAL_HASH_KEY, TOTAL_INDEX_KEY, TOTAL_TABLE } from './loader.ts';
import { addDefaultPlan } from './phase/plan.ts';
import { enterSession, rememberAnswer } from './session.ts';
import { DEFAULT_MACHINE_LIMITS, type MachineLimits, MachineState } from './state.ts';
import { runDueTimers, timersAreDue } from './timers.ts';
import type { AppliedEntry, Command, CommandResult, MachineEvent, Rejection, RowChange } from './types.ts';
import { checkEnvelope } from './validate.ts';
import { View } from './view.ts';

/** A machine in its first state. `limits` must be the same on all replicas; others than the default are for tests. */
export function createMachine(limits: MachineLimits = DEFAULT_MACHINE_LIMITS): ReplicatedMachine {
  const state = new MachineState(limits);
  setUp(state);
  return new Machine(state, logIndex(0));
}

/** Takes rows in, page by page, and gives the machine that wrote them. `limits` as for {@link createMachine}. */
export function startLoading(limits: MachineLimits = DEFAULT_MACHINE_LIMITS): MachineLoader {
  const state = new MachineState(limits);
  return new Loader(state, (appliedIndex, empty) => {
    if (empty) setUp(state);
    return new Machine(state, appliedIndex);
  });
}

class Machine extends View implements ReplicatedMachine {
  readonly #state: MachineState;
  #appliedIndex: LogIndex;
  /** Of the last changes that were taken. */
  #takenIndex: LogIndex;

  constructor(state: MachineState, appliedIndex: LogIndex) {
    super(state);
    this.#state = state;
    this.#appliedIndex = appliedIndex;
    this.#takenIndex = appliedIndex;
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  apply(entry: AppliedEntry): Applied {
    const { command } = entry;
    assert(entry.index === this.#appliedIndex + 1, `apply ${entry.index} after ${this.#appliedIndex}`);
    this.#appliedIndex = entry.index;
    if (command === null) return { result: null, replayed: false, events: [] };
    const at = revision(entry.index);
    const bad = checkEnvelope(command);
    if (bad !== null) return refused(at, bad, []);
    const state = this.#state;
    assert(entry.term >= state.meta.term, `term ${entry.term} after ${state.meta.term}`);
    state.advance(entry.term, command.timeMs);
    const events: MachineEvent[] = [];
    // What is due has its events before the command's own, and nobody has asked for it.
    if (timersAreDue(state)) runDueTimers(contextOf(state, at, events, { caller: '', traceId: '', session: null }));
    const applied = carryOut(state, at, command, events);
    recordEvents(state, events);
    return applied;
  }

  takeChanges(): readonly RowChange[] {
    const changes: RowChange[] = [];
    for (const table of this.#state.tables.all) table.takeChanges(changes);
    if (changes.length > 0) changes.push({ table: TOTAL_TABLE, key: TOTAL_HASH_KEY, value: this.stateHash() });
    if (changes.length > 0 || this.#appliedIndex !== this.#takenIndex) {
      changes.push({ table: TOTAL_TABLE, key: TOTAL_INDEX_KEY, value: String(this.#appliedIndex) });
      this.#takenIndex = this.#appliedIndex;
    }
    return changes;
  }
}

function setUp(state: MachineState): void {
  const zero = 0 as MachineState['timeMs'];
  state.meta = { timeMs: zero, term: 0, termStartMs: zero, firstEventRevision: revision(1) };
  addDefaultPlan(state);
}

function refused(at: Revision, reason: Rejection, events: readonly MachineEvent[]): Applied {
  return { result: { ok: false, revision: at, rejection: reason }, replayed: false, events };
}

/** `events` takes what is emitted; their ordinals go on where it stands. */
function contextOf(
  state: MachineState,
  at: Revision,
  events: MachineEvent[],
  { caller, traceId, session }: Pick<ApplyContext, 'caller' | 'traceId' | 'session'>,
): ApplyContext {
  const { timeMs } = state;
  return {
    state,
    revision: at,
    timeMs,
    caller,
    traceId,
    session,
    // Field by field, so that all events have one shape.
    emit: ({ kind, loop, g, phase, attempt, token, outcome, vectorClock }) => {
      events.push({
        revision: at,
        ordinal: events.length,
        timeMs,
        kind,
        loop,
        g,
        phase,
        attempt,
        token,
        caller,
        traceId,
        outcome,
        vectorClock,
      });
    },
  };
}

/** M4 to M6; the events are recorded by the caller. */
function carryOut(state: MachineState, at: Revision, command: Command, events: MachineEvent[]): Applied {
  const { body, caller, traceId } = command;
  // A session cannot be opened within one.
  const session = body.kind === 'openSession' ? null : command.session;
  let remember = false;
  if (session !== null) {
    const entrance = enterSession(state, session, body.kind);
    if (entrance.kind === 'replay') return { result: entrance.result, replayed: true, events };
    if (entrance.kind === 'refuse') return refused(at, entrance.rejection, events);
    remember = entrance.remember;
  }
  const before = events.length;
  const outcome = dispatch(contextOf(state, at, events, { caller, traceId, session }), body);
  assert(outcome.ok || events.length === before, 'a rejected command has no events');
  const result: CommandResult = outcome.ok
    ? { ok: true, revision: at, value: outcome.value }
    : { ok: false, revision: at, rejection: outcome.error };
  if (remember && session !== null) rememberAnswer(state, session, result);
  recordAudit(state, at, command, result);
  return { result, replayed: false, events };
}
