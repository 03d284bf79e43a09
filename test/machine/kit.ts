/** What the machine's tests share: a machine with a log index and a clock of its own, and short ways to say commands. */
import { expect } from 'vitest';
import type { Applied, ReplicatedMachine } from '../../src/machine/api.ts';
import { TOTAL_TABLE } from '../../src/machine/loader.ts';
import { createMachine } from '../../src/machine/machine.ts';
import { DEFAULT_MACHINE_LIMITS, type MachineLimits } from '../../src/machine/state.ts';
import type {
  AppliedEntry,
  Command,
  CommandBody,
  CommandResult,
  CommandValue,
  MachineEvent,
  Rejection,
  RowChange,
  SessionRef,
} from '../../src/machine/types.ts';
import { type ClusterTimeMs, type FencingToken, logIndex, type SessionId, term } from '../../src/types/ids.ts';

export const at = (ms: number): ClusterTimeMs => ms as ClusterTimeMs;
export const token = (value: number): FencingToken => value as FencingToken;

export const limits = (some: Partial<MachineLimits>): MachineLimits => ({ ...DEFAULT_MACHINE_LIMITS, ...some });

export const ref = (phase: string, g = 1, loop = 'loop') => ({ loop, g, phase });

export const session = (id: number, sequence: number, ackedThrough = 0): SessionRef => ({
  id: id as SessionId,
  sequence,
  ackedThrough,
});

type Value<K extends CommandValue['kind']> = Extract<CommandValue, { kind: K }>;

/** Everything of a command but its body. */
export interface Given {
  readonly timeMs?: number;
  readonly term?: number;
  readonly session?: SessionRef;
  readonly caller?: string;
  readonly traceId?: string;
}

export class Bench {
  readonly machine: ReplicatedMachine;
  readonly log: AppliedEntry[] = [];
  readonly events: MachineEvent[] = [];
  timeMs = 1_000_000;
  term = 1;

  constructor(some: Partial<MachineLimits> = {}) {
    this.machine = createMachine(limits(some));
  }

  apply(body: CommandBody, given: Given = {}): Applied {
    this.timeMs = given.timeMs ?? this.timeMs;
    this.term = given.term ?? this.term;
    const command: Command = {
      timeMs: at(this.timeMs),
      session: given.session ?? null,
      caller: given.caller ?? 'agent',
      traceId: given.traceId ?? 'trace',
      body,
    };
    return this.entry(command);
  }

  /** Applies `command` as the next entry; null: an entry without a command. */
  entry(command: Command | null): Applied {
    const entry = { index: logIndex(this.machine.appliedIndex + 1), term: term(this.term), command };
    this.log.push(entry);
    const applied = this.machine.apply(entry);
    this.events.push(...applied.events);
    return applied;
  }

  /** Rows of the state that changed since the last call. */
  changedRows(): readonly RowChange[] {
    return this.machine.takeChanges().filter(({ table }) => table !== TOTAL_TABLE);
  }

  /** The command is carried out and answers with a value of `kind`. */
  done<K extends CommandValue['kind']>(kind: K, body: CommandBody, given: Given = {}): Value<K> {
    const value = doneValue(this.apply(body, given).result);
    expect(value.kind).toBe(kind);
    return value as Value<K>;
  }

  /** The command is rejected, and leaves no trace. */
  rejected(body: CommandBody, given: Given = {}): Rejection {
    const rejection = rejectionOf(this.apply(body, given).result);
    expect(Object.keys(rejection.details)).toEqual(Object.keys(rejection.details).sort());
    expect(rejection.message).toMatch(/^[A-Z].*\.$/s);
    return rejection;
  }

  begin(phase: string, more: { g?: number; supersede?: number; loop?: string } & Given = {}): Value<'phaseBegun'> {
    return this.done('phaseBegun', beginBody(phase, more), more);
  }

  commit(phase: string, fence: number, g = 1, loop = 'loop', given: Given = {}): Value<'phaseCommitted'> {
    return this.done('phaseCommitted', commitBody(phase, fence, g, loop), given);
  }

  createLoop(loop = 'loop', plan = ''): void {
    this.done('loopCreated', { kind: 'createLoop', loop, plan });
  }

  openSession(ttlMs = 60_000): SessionId {
    return this.done('sessionOpened', { kind: 'openSession', ttlMs }).sessionId;
  }

  registerPlan(plan: string, ...phases: readonly string[]): void {
    const list = phases.map((name) => ({ name, priorMs: 1_000, slaMs: 0 }));
    this.done('planRegistered', { kind: 'registerPlan', plan, phases: list });
  }

  /** Runs all phases of the open round. */
  round(loop = 'loop'): void {
    const row = this.machine.loop(loop);
    if (row === null) throw new Error(`no loop ${loop}`);
    for (const { name } of this.machine.plan(row.plan)?.phases ?? []) {
      const begun = this.begin(name, { g: row.g, loop });
      this.commit(name, begun.token, row.g, loop);
    }
  }
}

export function beginBody(
  phase: string,
  more: { g?: number; supersede?: number; loop?: string } = {},
): Extract<CommandBody, { kind: 'beginPhase' }> {
  const where = ref(phase, more.g ?? 1, more.loop ?? 'loop');
  return { kind: 'beginPhase', ref: where, supersedeAttempt: more.supersede ?? 0, vectorClock: [] };
}

export function commitBody(
  phase: string,
  fence: number,
  g = 1,
  loop = 'loop',
): Extract<CommandBody, { kind: 'commitPhase' }> {
  return { kind: 'commitPhase', ref: ref(phase, g, loop), token: token(fence), result: 'done', vectorClock: [] };
}

export function abortBody(
  phase: string,
  fence: number,
  hardFail: boolean,
  g = 1,
): Extract<CommandBody, { kind: 'abortPhase' }> {
  return { kind: 'abortPhase', ref: ref(phase, g), token: token(fence), reason: 'why', hardFail, vectorClock: [] };
}

export function progressBody(
  phase: string,
  fence: number,
  more: Partial<Extract<CommandBody, { kind: 'reportProgress' }>> = {},
): Extract<CommandBody, { kind: 'reportProgress' }> {
  return {
    kind: 'reportProgress',
    ref: ref(phase),
    token: token(fence),
    completed: 0,
    total: 0,
    note: '',
    subSteps: [],
    checkpoint: null,
    ...more,
  };
}

export function doneValue(result: CommandResult | null): CommandValue {
  if (result === null || !result.ok) throw new Error(`rejected: ${JSON.stringify(result)}`);
  return result.value;
}

export function rejectionOf(result: CommandResult | null): Rejection {
  if (result === null || result.ok) throw new Error(`not rejected: ${JSON.stringify(result)}`);
  return result.rejection;
}

/** Rows that a store would hold after `machine`'s changes so far. */
export class Mirror {
  readonly rows = new Map<string, { table: string; key: string; value: string }>();

  take(machine: ReplicatedMachine): void {
    for (const { table, key, value } of machine.takeChanges()) {
      const name = `${table}\n${key}`;
      if (value === null) this.rows.delete(name);
      else this.rows.set(name, { table, key, value });
    }
  }
}
