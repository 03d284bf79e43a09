/** The tables of the state, what a row of each holds, and how it is stored. */
import type { ClusterTimeMs, Revision, SessionId } from '../types/ids.ts';
import { type DomainTables, domainTables, domainValues } from './domain-tables.ts';
import { StateHash } from './hash.ts';
import { asArray, type Codec, dictionary, list, plain, record, variants } from './row-codec.ts';
import type { AttemptRow, FeatureRow, LoopRow, MemberRow, PlanRow, RunRow, SessionRow, SubStepRow } from './rows.ts';
import { Table, type WriteCounter } from './table.ts';
import type { CommandResult, CommandValue, MachineEvent, PlanPhase, RejectReason, VectorClock } from './types.ts';

/** The one row of table `meta`. */
export interface MetaRow {
  readonly timeMs: ClusterTimeMs;
  /** Term of the last command. */
  readonly term: number;
  /** State time at the first command of that term; sessions run at least their ttl from here (architecture, decision 4). */
  readonly termStartMs: ClusterTimeMs;
  readonly firstEventRevision: Revision;
}

/** `timerAtMs`: where the session's timer stands; may be earlier than its deadline, never later. */
export interface StoredSessionRow extends SessionRow {
  readonly timerAtMs: ClusterTimeMs;
}

export interface AnswerRow {
  readonly session: SessionId;
  readonly sequence: number;
  readonly result: CommandResult;
}

/** The checkpoint has a table of its own: it may be large, and most reports leave it as it is. */
export type StoredRunRow = Omit<RunRow, 'checkpoint'>;

export interface CheckpointRow {
  readonly checkpoint: string;
}

/** What is due at a time. `round`: the rows of a round that is no longer kept are to be dropped. */
export type TimerRow =
  | { readonly kind: 'session'; readonly dueMs: ClusterTimeMs; readonly session: SessionId }
  | { readonly kind: 'round'; readonly dueMs: ClusterTimeMs; readonly loop: string; readonly g: number }
  /** Feature level 3. T_blocked of a recovery is over (V6). `run` is the key of the run. */
  | { readonly kind: 'blocked'; readonly dueMs: ClusterTimeMs; readonly run: string }
  /** Clock entries of a decommissioned node are to be dropped (P8). */
  | { readonly kind: 'tombstone'; readonly dueMs: ClusterTimeMs; readonly node: string }
  /** permit-async ends (A2). */
  | { readonly kind: 'async'; readonly dueMs: ClusterTimeMs; readonly member: string }
  /** A nonce has expired and may be forgotten (O2). */
  | { readonly kind: 'nonce'; readonly dueMs: ClusterTimeMs; readonly nonce: string };

const text = plain<string>();
const count = plain<number>();
/** A branded number. */
const branded = <T extends number>(): Codec<T> => plain<T>();
const clock = plain<VectorClock>();

const planPhase = record<PlanPhase>({ name: text, priorMs: count, slaMs: count });
/** Also used to tell whether two plans are the same. */
export const planPhases: Codec<readonly PlanPhase[]> = list(planPhase);

const metaRow = record<MetaRow>({
  timeMs: branded(),
  term: count,
  termStartMs: branded(),
  firstEventRevision: branded(),
});

const sessionRow = record<StoredSessionRow>({
  id: branded(),
  ttlMs: count,
  lastSeenMs: branded(),
  ackedThrough: count,
  answers: count,
  timerAtMs: branded(),
});

const planRow = record<PlanRow>({ plan: text, phases: planPhases, createdRevision: branded() });

const loopRow = record<LoopRow>({
  loop: text,
  plan: text,
  g: count,
  createdRevision: branded(),
  changedRevision: branded(),
  createdAtMs: branded(),
  vectorClock: clock,
});

const runRow = record<StoredRunRow>({
  loop: text,
  g: count,
  phase: text,
  position: count,
  state: plain(),
  attempt: count,
  token: plain(),
  caller: text,
  traceId: text,
  completed: count,
  total: count,
  note: text,
  subStepsDone: count,
  result: text,
  abortReason: text,
  startedAtMs: plain(),
  progressAtMs: plain(),
  finishedAtMs: plain(),
  changedRevision: branded(),
  vectorClock: clock,
});

const attemptRow = record<AttemptRow>({
  loop: text,
  g: count,
  phase: text,
  attempt: count,
  token: branded(),
  state: plain(),
  caller: text,
  traceId: text,
  startedAtMs: branded(),
  finishedAtMs: plain(),
});

const checkpointRow = record<CheckpointRow>({ checkpoint: text });
const subStepRow = record<SubStepRow>({ id: text, result: text, attempt: count, recordedRevision: branded() });

const eventRow = record<MachineEvent>({
  revision: branded(),
  ordinal: count,
  timeMs: branded(),
  kind: plain(),
  loop: text,
  g: count,
  phase: text,
  attempt: count,
  token: plain(),
  caller: text,
  traceId: text,
  outcome: text,
  vectorClock: clock,
});

const timerRow = variants<TimerRow>({
  session: record({ dueMs: branded(), session: branded() }),
  round: record({ dueMs: branded(), loop: text, g: count }),
  blocked: record({ dueMs: branded(), run: text }),
  tombstone: record({ dueMs: branded(), node: text }),
  async: record({ dueMs: branded(), member: text }),
  nonce: record({ dueMs: branded(), nonce: text }),
});

const memberRow = record<MemberRow>({
  member: plain(),
  peerAddress: text,
  clientAddress: text,
  incarnation: text,
  wanted: plain(),
  replaces: plain(),
  changedRevision: branded(),
});

const featureRow = record<FeatureRow>({ level: count, used: count, pinned: plain<boolean>() });

const commandValue = variants<CommandValue>({
  ...domainValues,
  membersChanged: record({}),
  featureLevelSet: record({ level: count }),
  timeAdvanced: record({}),
  sessionOpened: record({ sessionId: branded(), ttlMs: count }),
  sessionKept: record({}),
  sessionClosed: record({}),
  planRegistered: record({ plan: text }),
  loopCreated: record({ loop: text, g: count }),
  phaseBegun: record({ attempt: count, token: branded(), subStepsDone: count, checkpoint: text, vectorClock: clock }),
  progressReported: record({ subStepsRecorded: count, subStepsKnown: plain<readonly string[]>() }),
  phaseCommitted: record({ g: count, nextG: count, vectorClock: clock }),
  phaseAborted: record({ nextG: count, vectorClock: clock }),
});

/** Stored as [1, revision, value] or [0, revision, reason, message, details]. */
const commandResult: Codec<CommandResult> = {
  pack: (result) =>
    result.ok
      ? [1, result.revision, commandValue.pack(result.value)]
      : [
          0,
          result.revision,
          result.rejection.reason,
          result.rejection.message,
          dictionary.pack(result.rejection.details),
        ],
  unpack(json) {
    const [ok, revision, first, message, details] = asArray(json);
    if (ok === 1) return { ok: true, revision: revision as Revision, value: commandValue.unpack(first ?? null) };
    const rejection = {
      reason: first as RejectReason,
      message: message as string,
      details: dictionary.unpack(details ?? null),
    };
    return { ok: false, revision: revision as Revision, rejection };
  },
};

const answerRow = record<AnswerRow>({ session: branded(), sequence: count, result: commandResult });

/** All tables over one state hash. The names are part of the stored format. */
export class Tables {
  readonly hash = new StateHash();
  readonly counter: WriteCounter = { writes: 0 };
  readonly answer: Table<AnswerRow>;
  readonly attempt: Table<AttemptRow>;
  readonly checkpoint: Table<CheckpointRow>;
  readonly event: Table<MachineEvent>;
  readonly feature: Table<FeatureRow>;
  readonly loop: Table<LoopRow>;
  readonly member: Table<MemberRow>;
  readonly meta: Table<MetaRow>;
  readonly plan: Table<PlanRow>;
  readonly run: Table<StoredRunRow>;
  readonly session: Table<StoredSessionRow>;
  readonly subStep: Table<SubStepRow>;
  readonly timer: Table<TimerRow>;
  /** Those of feature level 3. */
  readonly domain: DomainTables;
  /** In the order of their names. */
  readonly all: readonly Table<never>[];

  constructor() {
    const all: Table<never>[] = [];
    const table = <Row>(name: string, codec: Codec<Row>): Table<Row> => {
      const made = new Table<Row>(name, codec, this.hash, this.counter);
      all.push(made as unknown as Table<never>);
      return made;
    };
    this.answer = table('answer', answerRow);
    this.attempt = table('attempt', attemptRow);
    this.checkpoint = table('checkpoint', checkpointRow);
    this.event = table('event', eventRow);
    this.feature = table('feature', featureRow);
    this.loop = table('loop', loopRow);
    this.member = table('member', memberRow);
    this.meta = table('meta', metaRow);
    this.plan = table('plan', planRow);
    this.run = table('run', runRow);
    this.session = table('session', sessionRow);
    this.subStep = table('substep', subStepRow);
    this.timer = table('timer', timerRow);
    this.domain = domainTables(table);
    this.all = all.sort((x, y) => (x.name < y.name ? -1 : 1));
  }
}
