/** The whole replicated state: tables and the limits it works under. Everything that an apply depends on is in a row. */
import { must } from '../types/assert.ts';
import type { ClusterTimeMs, Revision } from '../types/ids.ts';
import {
  AGENTS_MAX,
  ALERTS_MAX,
  ATTEMPTS_KEPT,
  EVENT_HISTORY_MAX,
  ISSUES_MAX,
  LOOPS_MAX,
  MEMBER_ROWS_MAX,
  PLANS_MAX,
  ROUNDS_KEPT,
  SESSION_ANSWERS_MAX,
  SESSIONS_MAX,
  SUB_STEPS_MAX,
  TIMER_ROWS_PER_APPLY_MAX,
} from '../types/limits.ts';
import type { FeatureRow } from './rows.ts';
import { type MetaRow, Tables } from './tables.ts';

/** Bounds that decide what an apply does: equal on all replicas of a stream, always. Smaller ones are for tests. */
export interface MachineLimits {
  readonly eventHistoryMax: number;
  readonly sessionsMax: number;
  readonly sessionAnswersMax: number;
  readonly loopsMax: number;
  readonly memberRowsMax: number;
  readonly plansMax: number;
  readonly subStepsMax: number;
  readonly roundsKept: number;
  readonly attemptsKept: number;
  readonly timerRowsPerApplyMax: number;
  readonly agentsMax: number;
  readonly issuesMax: number;
  readonly alertsMax: number;
}

export const DEFAULT_MACHINE_LIMITS: MachineLimits = {
  eventHistoryMax: EVENT_HISTORY_MAX,
  sessionsMax: SESSIONS_MAX,
  sessionAnswersMax: SESSION_ANSWERS_MAX,
  loopsMax: LOOPS_MAX,
  memberRowsMax: MEMBER_ROWS_MAX,
  plansMax: PLANS_MAX,
  subStepsMax: SUB_STEPS_MAX,
  roundsKept: ROUNDS_KEPT,
  attemptsKept: ATTEMPTS_KEPT,
  timerRowsPerApplyMax: TIMER_ROWS_PER_APPLY_MAX,
  agentsMax: AGENTS_MAX,
  issuesMax: ISSUES_MAX,
  alertsMax: ALERTS_MAX,
};

export const META_KEY = 'meta';
export const FEATURE_KEY = 'feature';
/** What a cluster has before anything was set (R9): no row, so that the state hash of older versions stays the same. */
const FIRST_FEATURE: FeatureRow = { level: 1, used: 1, pinned: false };

export class MachineState {
  readonly limits: MachineLimits;
  readonly tables = new Tables();

  constructor(limits: MachineLimits) {
    this.limits = limits;
  }

  get meta(): MetaRow {
    return must(this.tables.meta.get(META_KEY), 'the state has no meta row: the store is not of this machine');
  }

  set meta(row: MetaRow) {
    this.tables.meta.put(META_KEY, row);
  }

  get feature(): FeatureRow {
    return this.tables.feature.get(FEATURE_KEY) ?? FIRST_FEATURE;
  }

  /** Writes no row that says what holds anyway. */
  set feature(row: FeatureRow) {
    const now = this.feature;
    if (row.level === now.level && row.used === now.used && row.pinned === now.pinned) return;
    this.tables.feature.put(FEATURE_KEY, row);
  }

  get timeMs(): ClusterTimeMs {
    return this.meta.timeMs;
  }

  get firstEventRevision(): Revision {
    return this.meta.firstEventRevision;
  }

  /** Takes the time of a command of `term`: time never goes back, and the first command of a term marks its start. */
  advance(term: number, commandTimeMs: ClusterTimeMs): void {
    const meta = this.meta;
    const timeMs = commandTimeMs > meta.timeMs ? commandTimeMs : meta.timeMs;
    const newTerm = term > meta.term;
    if (!newTerm && timeMs === meta.timeMs) return;
    this.meta = { ...meta, timeMs, term, termStartMs: newTerm ? timeMs : meta.termStartMs };
  }
}
