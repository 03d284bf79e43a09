/** Reads over the state; see `api.ts` for what each promises. */
import { assert } from '../types/assert.ts';
import type { ClusterTimeMs, LogIndex, Revision, SessionId } from '../types/ids.ts';
import type { DomainRows, MachineView, Page } from './api.ts';
import { readEvents } from './history.ts';
import { after, KEY_END, next, padded, runKey, subStepKey, under } from './keys.ts';
import { runsOf } from './phase/round.ts';
import type { AttemptRow, FeatureRow, LoopRow, MemberRow, PlanRow, RunRow, SessionRow, SubStepRow } from './rows.ts';
import type { MachineState } from './state.ts';
import type { Table } from './table.ts';
import type { StoredRunRow } from './tables.ts';
import { nextTimerMs } from './timers.ts';
import type { MachineEvent } from './types.ts';

export abstract class View implements MachineView {
  readonly #state: MachineState;

  constructor(state: MachineState) {
    this.#state = state;
  }

  abstract get appliedIndex(): LogIndex;

  get timeMs(): ClusterTimeMs {
    return this.#state.timeMs;
  }

  stateHash(): string {
    for (const table of this.#state.tables.all) table.settle();
    return this.#state.tables.hash.toHex();
  }

  plan(plan: string): PlanRow | null {
    return this.#state.tables.plan.get(plan);
  }

  plans(from: string | null, limit: number): Page<PlanRow> {
    return page(this.#state.tables.plan, from, limit);
  }

  loop(loop: string): LoopRow | null {
    return this.#state.tables.loop.get(loop);
  }

  loops(from: string | null, limit: number): Page<LoopRow> {
    return page(this.#state.tables.loop, from, limit);
  }

  runs(loop: string, g: number): readonly RunRow[] {
    if (!isRound(g)) return [];
    return runsOf(this.#state, loop, g).map((row) => this.#withCheckpoint(row));
  }

  run(loop: string, g: number, phase: string): RunRow | null {
    const row = this.#find(loop, g, phase);
    return row === null ? null : this.#withCheckpoint(row);
  }

  attempts(loop: string, g: number, phase: string): readonly AttemptRow[] {
    const run = this.#find(loop, g, phase);
    if (run === null) return [];
    const key = runKey(loop, g, run.position);
    const { attempt } = this.#state.tables;
    return attempt.range(under(key), after(key), this.#state.limits.attemptsKept).map(([, row]) => row);
  }

  subSteps(loop: string, g: number, phase: string, from: string | null, limit: number): Page<SubStepRow> {
    checkLimit(limit);
    const run = this.#find(loop, g, phase);
    if (run === null) return { rows: [], next: null };
    const key = runKey(loop, g, run.position);
    const start = from === null ? under(key) : next(subStepKey(key, from));
    const found = this.#state.tables.subStep.range(start, after(key), limit + 1).map(([, row]) => row);
    const rows = found.slice(0, limit);
    return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null };
  }

  members(): readonly MemberRow[] {
    const { member } = this.#state.tables;
    return member.range('', KEY_END, member.size).map(([, row]) => row);
  }

  featureLevel(): FeatureRow {
    return this.#state.feature;
  }

  get rows(): DomainRows {
    return this.#state.tables.domain;
  }

  session(id: SessionId): SessionRow | null {
    const row = this.#state.tables.session.get(padded(id));
    if (row === null) return null;
    const { timerAtMs: _, ...session } = row;
    return session;
  }

  sessionCount(): number {
    return this.#state.tables.session.size;
  }

  firstEventRevision(): Revision {
    return this.#state.firstEventRevision;
  }

  events(from: Revision, limit: number): readonly MachineEvent[] {
    checkLimit(limit);
    return readEvents(this.#state, from, limit);
  }

  nextTimerMs(): ClusterTimeMs | null {
    return nextTimerMs(this.#state);
  }

  #find(loop: string, g: number, phase: string): StoredRunRow | null {
    const row = isRound(g) ? this.#state.tables.loop.get(loop) : null;
    if (row === null) return null;
    const position = this.#state.tables.plan.get(row.plan)?.phases.findIndex(({ name }) => name === phase) ?? -1;
    return position < 0 ? null : this.#state.tables.run.get(runKey(loop, g, position));
  }

  #withCheckpoint(row: StoredRunRow): RunRow {
    const key = runKey(row.loop, row.g, row.position);
    return { ...row, checkpoint: this.#state.tables.checkpoint.get(key)?.checkpoint ?? '' };
  }
}

function isRound(g: number): boolean {
  return Number.isSafeInteger(g) && g >= 1;
}

function checkLimit(limit: number): void {
  assert(Number.isSafeInteger(limit) && limit >= 1, `not a page size: ${limit}`);
}

function page<Row>(table: Table<Row>, from: string | null, limit: number): Page<Row> {
  checkLimit(limit);
  const found = table.range(from === null ? '' : next(from), KEY_END, limit + 1);
  const rows = found.slice(0, limit);
  return { rows: rows.map(([, row]) => row), next: found.length > limit ? (rows.at(-1)?.[0] ?? null) : null };
}
