/** Tables of feature level 3, and how their rows and the answers of its commands are stored. The names are part of the format. */
import type { AuditBlockRow, AuditRecord } from './audit/types.ts';
import type { AvailabilityRow } from './availability/types.ts';
import type { AgentRow, DeadlineRow, DurationsRow, PolicyRow, WatchRow } from './detection/types.ts';
import type { DecommissionedRow, DocumentRow, TombstoneRow, TouchedRow } from './document/types.ts';
import type { AlertRow, IssueRow } from './issue/types.ts';
import type { Compensator, EffectRow, ResourceRow, SpendingRow } from './ledger/types.ts';
import type { NonceRow, RosterRow, SupervisorRow } from './override/types.ts';
import type { RecoveryRow, StepRecord } from './recovery/types.ts';
import { type Codec, list, plain, record } from './row-codec.ts';
import type { Table } from './table.ts';
import type { DomainValue, VectorClock } from './types.ts';

const text = plain<string>();
const count = plain<number>();
const flag = plain<boolean>();
const texts = plain<readonly string[]>();
/** A branded number, or one that may be 0; a text of a union. */
const branded = <T extends number | string>(): Codec<T> => plain<T>();

const compensator = record<Compensator>({ kind: plain(), target: text, payload: text });
const step = record<StepRecord>({ step: plain(), startedAtMs: branded(), finishedAtMs: branded() });
const auditRecord = record<AuditRecord>({
  index: branded(),
  timeMs: branded(),
  caller: text,
  traceId: text,
  command: text,
  subject: text,
  outcome: text,
  detail: text,
});
const where = { loop: text, g: count, phase: text };

/** What `domainTables` makes its tables with. */
export type MakeTable = <Row>(name: string, codec: Codec<Row>) => Table<Row>;

/**
 * A sub-step that was told again with another result: RECONCILE decides between them (V2). Key: run, number, id. Number 0 is the
 * clock of the report that stands (its result is in the sub-step), 1 and more are those that contradict it.
 */
export interface RivalRow {
  readonly id: string;
  readonly result: string;
  readonly participant: string;
  readonly vectorClock: VectorClock;
  /** true: stands for several, of which only the merged clock is left. */
  readonly several: boolean;
}

/** Where the recovery lock of a phase stands (V4). Key: loop and phase. */
export interface RecoveryLockRow {
  readonly token: number;
}

export function domainTables(table: MakeTable) {
  return { ...tablesToDocuments(table), ...tablesFromDurations(table) };
}

/** In the order of their names. */
function tablesToDocuments(table: MakeTable) {
  return {
    agent: table<AgentRow>(
      'agent',
      record({ agent: text, healthy: flag, seenAtMs: branded(), changedAtMs: branded(), issue: count }),
    ),
    alert: table<AlertRow>(
      'alert',
      record({
        alert: count,
        name: plain(),
        issue: count,
        text,
        raisedAtMs: branded(),
        state: plain(),
        lastError: text,
      }),
    ),
    /** Alerts that the webhook has not taken and that were not given up. Key: that of the alert. */
    alertPending: table<{ readonly alert: number }>('alert.pending', record({ alert: count })),
    /** Attempts that run. Key: length of the caller's name, the name, and the run (detection/watch.ts). */
    attemptRunning: table<{ readonly run: string }>('attempt.running', record({ run: text })),
    audit: table<AuditBlockRow>('audit', record({ first: count, previousHash: text, records: list(auditRecord) })),
    availability: table<AvailabilityRow>(
      'availability',
      record({
        member: plain(),
        lagging: flag,
        asyncUntilMs: branded(),
        isolatedAtMs: branded(),
        evictAtMs: branded(),
        evictionBlocked: flag,
        issue: count,
      }),
    ),
    deadline: table<DeadlineRow>('deadline', record({ kind: plain(), dueMs: branded(), ...where, attempt: count })),
    /** Key: due time, kind and run in `deadline`; here by run and kind, so that they can be taken back. */
    deadlineOf: table<{ readonly dueMs: number }>('deadline.of', record({ dueMs: count })),
    decommissioned: table<DecommissionedRow>(
      'decommissioned',
      record({ node: text, decommissionedAtMs: branded(), dropAtMs: branded(), dropped: flag, droppedThrough: text }),
    ),
    document: table<DocumentRow>('document', documentRow),
    /** Key of a loop: how many documents it has, deleted ones included. Key of a run: how many it has touched. */
    documentCount: table<{ readonly documents: number }>('document.count', record({ documents: count })),
    /** Those that are not the newest any more. */
    documentVersion: table<DocumentRow>('document.version', documentRow),
  };
}

/** In the order of their names. */
function tablesFromDurations(table: MakeTable) {
  return {
    durations: table<DurationsRow>(
      'durations',
      record({ plan: text, phase: text, durationsMs: plain<readonly number[]>() }),
    ),
    effect: table<EffectRow>('effect', effectRow),
    /** Key: loop and idempotency key. */
    effectKey: table<{ readonly run: string; readonly seq: number }>('effect.key', record({ run: text, seq: count })),
    issue: table<IssueRow>('issue', issueRow),
    nonce: table<NonceRow>('nonce', record({ nonce: text, expiresAtMs: branded() })),
    policy: table<PolicyRow>('policy', record({ name: plain(), value: count, changedRevision: branded() })),
    recovery: table<RecoveryRow>('recovery', recoveryRow),
    recoveryLock: table<RecoveryLockRow>('recovery.lock', record({ token: count })),
    /** Recoveries that somebody is to work on: those that may start, and the active ones. Key: that of the run. */
    recoveryOpen: table<{ readonly active: boolean }>('recovery.open', record({ active: flag })),
    /** Key: length of the trace id, the trace id, and the run; for overrides and for people. */
    recoveryTrace: table<{ readonly run: string }>('recovery.trace', record({ run: text })),
    resource: table<ResourceRow>('resource', record({ resource: text, changes: plain() })),
    rival: table<RivalRow>(
      'rival',
      record({ id: text, result: text, participant: text, vectorClock: plain<VectorClock>(), several: flag }),
    ),
    roster: table<RosterRow>('roster', record({ signaturesNeeded: count, changedRevision: branded() })),
    spending: table<SpendingRow>(
      'spending',
      record({
        traceId: text,
        spentMicros: text,
        effects: count,
        capped: plain(),
        cappedLimitMicros: text,
        changedAtMs: branded(),
      }),
    ),
    supervisor: table<SupervisorRow>('supervisor', record({ name: text, publicKey: text, addedRevision: branded() })),
    tombstone: table<TombstoneRow>(
      'tombstone',
      record({ node: text, loop: text, counter: count, clockSha256: text, droppedAtMs: branded() }),
    ),
    touched: table<TouchedRow>(
      'touched',
      record({ loop: text, name: text, baseVersion: count, outsideVersion: count }),
    ),
    watch: table<WatchRow>('watch', watchRow),
  };
}

export type DomainTables = ReturnType<typeof domainTables>;

const documentRow = record<DocumentRow>({
  loop: text,
  name: text,
  version: count,
  deleted: flag,
  content: text,
  sha256: text,
  schema: text,
  causalFields: texts,
  causalClocks: plain<readonly VectorClock[]>(),
  run: text,
  caller: text,
  changedRevision: branded(),
  changedAtMs: branded(),
});

const effectRow = record<EffectRow>({
  ...where,
  seq: count,
  attempt: count,
  key: text,
  description: text,
  compensator,
  costMicros: text,
  resource: text,
  operation: plain(),
  state: plain(),
  result: text,
  traceId: text,
  caller: text,
  intentAtMs: branded(),
  settledAtMs: branded(),
  changedRevision: branded(),
});

const issueRow = record<IssueRow>({
  issue: count,
  kind: plain(),
  state: plain(),
  ...where,
  traceId: text,
  seen: texts,
  isolated: texts,
  remediated: texts,
  note: text,
  openedAtMs: branded(),
  changedAtMs: branded(),
  changedRevision: branded(),
});

const recoveryRow = record<RecoveryRow>({
  ...where,
  position: count,
  attempt: count,
  traceId: text,
  state: plain(),
  step: plain(),
  cause: plain(),
  detail: text,
  waiting: plain(),
  token: branded(),
  seq: count,
  tries: count,
  nextTryAtMs: branded(),
  lastError: text,
  restoredThrough: text,
  crc: count,
  faultAtMs: branded(),
  detectedAtMs: branded(),
  stepStartedAtMs: branded(),
  finishedAtMs: branded(),
  blockedAtMs: branded(),
  blockedUntilMs: branded(),
  steps: list(step),
  result: plain(),
  issue: count,
  changedRevision: branded(),
});

const watchRow = record<WatchRow>({
  ...where,
  snapshotRevision: branded(),
  timeoutMs: count,
  participants: texts,
  finished: texts,
  firstFinishedAtMs: branded(),
  autoAttempts: count,
  checkpointCrc: count,
});

type ValueCodecs = {
  readonly [Kind in DomainValue['kind']]: Codec<Omit<Extract<DomainValue, { kind: Kind }>, 'kind'>>;
};

/** Answers as sessions remember them. */
export const domainValues: ValueCodecs = {
  documentPut: record({ version: count }),
  documentDeleted: record({ version: count }),
  nodeDecommissioned: record({ dropAtMs: branded() }),
  phaseInterrupted: record({ waiting: flag }),
  phaseRollingBack: record({ nextG: count, vectorClock: plain<VectorClock>() }),
  agentMarked: record({}),
  finishedReported: record({ finished: count, participants: count }),
  policySet: record({}),
  recoveryAdvanced: record({ state: plain(), step: plain(), token: branded() }),
  intentRecorded: record({
    seq: count,
    fresh: flag,
    state: plain(),
    result: text,
    refusal: plain(),
    refusalDetail: text,
  }),
  effectConfirmed: record({ seq: count }),
  effectWithdrawn: record({ seq: count }),
  overridden: record({ recoveries: count }),
  supervisorsChanged: record({ supervisors: count, threshold: count }),
  issueAcknowledged: record({}),
  alertSettled: record({}),
  availabilityChanged: record({ eviction: plain() }),
};
