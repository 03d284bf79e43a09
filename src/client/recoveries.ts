/** Interrupted runs and what becomes of them, agents, and what is watched. */
import {
  type AgentStatus,
  type RecoveryEffect as EffectMessage,
  type GetDetectionResponse,
  InterruptCause,
  RecoveryEffectState,
  type Recovery as RecoveryMessage,
  RecoveryResult,
  RecoveryService,
  RecoveryState,
  type WatchedAttempt as WatchedMessage,
} from '../gen/quorate/v1/recovery_pb.ts';
import { must } from '../types/assert.ts';
import { fromConsistency, fromRef, toName, toNumber, toRef, toTime } from './convert.ts';
import type { Reader } from './reader.ts';
import type { MutationAnswer, PhaseRef, ReadOptions } from './types.ts';

/** UNKNOWN, here and below: of a newer cluster. */
export type RecoveryStateName = Exclude<keyof typeof RecoveryState, 'UNSPECIFIED'> | 'UNKNOWN';
export type InterruptCauseName = Exclude<keyof typeof InterruptCause, 'UNSPECIFIED'> | 'UNKNOWN';
export type RecoveryResultName = Exclude<keyof typeof RecoveryResult, 'UNSPECIFIED'>;
export type EffectStateName = Exclude<keyof typeof RecoveryEffectState, 'UNSPECIFIED'> | 'UNKNOWN';

export interface PhaseInterrupted extends MutationAnswer {
  /** The recovery waits for a supervisor. */
  readonly waiting: boolean;
}

export interface FinishedReported extends MutationAnswer {
  readonly finished: number;
  readonly participants: number;
}

/** A step that was done. */
export interface RecoveryStepDone {
  /** wal_fsync, checkpoint_flush, vc_merge, sel_compensate or snapshot_apply. */
  readonly step: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

/** The newest recovery of a run. Times are cluster time; null: not yet, or none. */
export interface Recovery {
  readonly ref: PhaseRef;
  /** The attempt that was interrupted. */
  readonly attempt: number;
  readonly traceId: string;
  readonly state: RecoveryStateName;
  /** Step that is under way or next; null: there is none. */
  readonly step: string | null;
  readonly cause: InterruptCauseName;
  readonly detail: string;
  /** Why automation waits for a supervisor: AUTO_ATTEMPTS, COST_CAP_EXCEEDED; null: it does not. */
  readonly waiting: string | null;
  /** Of the recovery lock: odd while the recovery is active. */
  readonly token: number;
  /** Effect that is being compensated; null: none. */
  readonly effectSeq: number | null;
  /** Tries of its compensator so far. */
  readonly tries: number;
  readonly nextTryAtMs: number | null;
  readonly lastError: string;
  readonly restoredThrough: string;
  readonly faultAtMs: number | null;
  readonly detectedAtMs: number;
  readonly stepStartedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly blockedAtMs: number | null;
  readonly steps: readonly RecoveryStepDone[];
  /** null: it is not over. */
  readonly result: RecoveryResultName | null;
  readonly issue: number;
  readonly changedRevision: number;
}

export interface RecoveryEffect {
  /** Compensators run from the highest down. */
  readonly seq: number;
  readonly key: string;
  readonly description: string;
  readonly state: EffectStateName;
  readonly compensator: { readonly kind: string; readonly target: string };
  /** Millionths of the budget's currency, decimal digits. */
  readonly costMicros: string;
  readonly attempt: number;
  readonly intentAtMs: number;
  readonly settledAtMs: number | null;
}

export interface RecoveryDetails {
  readonly recovery: Recovery;
  /** By number. */
  readonly effects: readonly RecoveryEffect[];
  /** Of the trace so far, in millionths of the budget's currency, decimal digits. `capped`: COST or SWINGS stopped its automation; null: nothing. */
  readonly cost: {
    readonly spentMicros: string;
    readonly effects: number;
    readonly capped: string | null;
    /** The limit that was exceeded; null unless capped for COST. */
    readonly limitMicros: string | null;
  };
  /** Automatic recoveries of the run so far, and how many there may be. */
  readonly autoAttempts: number;
  readonly autoAttemptsMax: number;
  /** When a blocked recovery turns into HARD_FAILED; null: it is not blocked. */
  readonly blockedUntilMs: number | null;
  /** Cluster time of the answer. */
  readonly timeMs: number;
}

export interface AgentInfo {
  readonly name: string;
  readonly healthy: boolean;
  /** Last heartbeat by the time that its health changed. */
  readonly seenAtMs: number;
  readonly changedAtMs: number;
}

/** How long a phase type takes. Milliseconds. */
export interface PhaseDetection {
  readonly phase: string;
  readonly priorMs: number;
  /** Longest time without progress; 0: none. */
  readonly slaMs: number;
  /** Durations that are known, at most 100. */
  readonly samples: number;
  readonly meanMs: number;
  readonly deviationMs: number;
  readonly p95Ms: number;
  /** An attempt that begins now is overdue after so long. */
  readonly timeoutMs: number;
}

export interface WatchedAttempt {
  readonly ref: PhaseRef;
  readonly attempt: number;
  readonly caller: string;
  readonly startedAtMs: number;
  readonly progressAtMs: number | null;
  readonly timeoutMs: number;
  /** When it is overdue; null: it is not watched. */
  readonly dueAtMs: number | null;
  readonly participants: readonly string[];
  readonly finished: readonly string[];
  readonly autoAttempts: number;
  /** Suspicion: 1 means that such a duration comes once in ten times, 2 once in a hundred. */
  readonly phi: number;
}

export interface Detection {
  /** In the order of the plan. */
  readonly phases: readonly PhaseDetection[];
  /** Factor of the timeout, in thousandths. */
  readonly kMilli: number;
  readonly running: readonly WatchedAttempt[];
  readonly timeMs: number;
}

export interface ListRecoveriesOptions extends ReadOptions {
  /** Only of this loop. */
  readonly loop?: string;
  /** Only those that are not over. */
  readonly openOnly?: boolean;
}

const { method } = RecoveryService;

export class Recoveries {
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** The newest recovery of each run that is kept, by loop, round and phase. */
  list(options?: ListRecoveriesOptions): AsyncGenerator<Recovery, void, undefined> {
    const { loop = '', openOnly = false } = options ?? {};
    return this.#reader.pages(async (page) => {
      const request = { ...page, loop, openOnly, ...fromConsistency(options) };
      const response = await this.#reader.read(method.listRecoveries, request, options);
      return { rows: response.recoveries.map(toRecovery), next: response.nextPageToken };
    });
  }

  /** With all its effects. Refused with RECOVERY_NOT_FOUND when the run was never interrupted. */
  async get(ref: PhaseRef, options?: ReadOptions): Promise<RecoveryDetails> {
    const effects: RecoveryEffect[] = [];
    let last: Omit<RecoveryDetails, 'effects'> | null = null;
    const pages = this.#reader.pages(async (page) => {
      const request = { ...page, ref: fromRef(ref), ...fromConsistency(options) };
      const response = await this.#reader.read(method.getRecovery, request, options);
      const { recovery, cost, autoAttempts, autoAttemptsMax } = response;
      last = {
        recovery: toRecovery(must(recovery, 'GetRecovery answered without a recovery')),
        cost: {
          spentMicros: cost?.spentMicros || '0',
          effects: toNumber(cost?.effects ?? 0n),
          capped: cost?.capped || null,
          limitMicros: cost?.limitMicros || null,
        },
        autoAttempts,
        autoAttemptsMax,
        blockedUntilMs: toTime(response.blockedUntilMs),
        timeMs: toNumber(response.timeMs),
      };
      return { rows: response.effects.map(toEffect), next: response.nextPageToken };
    });
    for await (const effect of pages) effects.push(effect);
    return { ...must<Omit<RecoveryDetails, 'effects'>>(last, 'there is a first page'), effects };
  }

  /** Agents that were heard of, by name. */
  agents(options?: ReadOptions): AsyncGenerator<AgentInfo, void, undefined> {
    return this.#reader.pages(async (page) => {
      const response = await this.#reader.read(method.listAgents, { ...page, ...fromConsistency(options) }, options);
      return { rows: response.agents.map(toAgent), next: response.nextPageToken };
    });
  }

  /** How long each phase of the loop's plan may take, and what is known of those that run. */
  async detection(loop: string, options?: ReadOptions): Promise<Detection> {
    const request = { loop, ...fromConsistency(options) };
    return toDetection(await this.#reader.read(method.getDetection, request, options));
  }
}

function toRecovery(message: RecoveryMessage): Recovery {
  return {
    ref: toRef(message.ref),
    attempt: toNumber(message.attempt),
    traceId: message.traceId,
    state: toName(RecoveryState, message.state) ?? 'UNKNOWN',
    step: message.step || null,
    cause: toName(InterruptCause, message.cause) ?? 'UNKNOWN',
    detail: message.detail,
    waiting: message.waiting || null,
    token: toNumber(message.fencingToken),
    effectSeq: toTime(message.effectSeq),
    tries: message.tries,
    nextTryAtMs: toTime(message.nextTryAtMs),
    lastError: message.lastError,
    restoredThrough: message.restoredThrough,
    faultAtMs: toTime(message.faultAtMs),
    detectedAtMs: toNumber(message.detectedAtMs),
    stepStartedAtMs: toTime(message.stepStartedAtMs),
    finishedAtMs: toTime(message.finishedAtMs),
    blockedAtMs: toTime(message.blockedAtMs),
    steps: message.steps.map(({ step, startedAtMs, finishedAtMs }) => ({
      step,
      startedAtMs: toNumber(startedAtMs),
      finishedAtMs: toNumber(finishedAtMs),
    })),
    result: toName(RecoveryResult, message.result),
    issue: toNumber(message.issue),
    changedRevision: toNumber(message.changedRevision),
  };
}

function toEffect(message: EffectMessage): RecoveryEffect {
  return {
    seq: toNumber(message.seq),
    key: message.key,
    description: message.description,
    state: toName(RecoveryEffectState, message.state) ?? 'UNKNOWN',
    compensator: { kind: message.compensatorKind, target: message.compensatorTarget },
    costMicros: message.costMicros || '0',
    attempt: toNumber(message.attempt),
    intentAtMs: toNumber(message.intentAtMs),
    settledAtMs: toTime(message.settledAtMs),
  };
}

function toAgent({ name, healthy, seenAtMs, changedAtMs }: AgentStatus): AgentInfo {
  return { name, healthy, seenAtMs: toNumber(seenAtMs), changedAtMs: toNumber(changedAtMs) };
}

function toDetection({ phases, kMilli, running, timeMs }: GetDetectionResponse): Detection {
  return {
    phases: phases.map(({ phase, priorMs, slaMs, samples, meanMs, deviationMs, p95Ms, timeoutMs }) => ({
      phase,
      priorMs: toNumber(priorMs),
      slaMs: toNumber(slaMs),
      samples,
      meanMs,
      deviationMs,
      p95Ms,
      timeoutMs: toNumber(timeoutMs),
    })),
    kMilli,
    running: running.map(toWatched),
    timeMs: toNumber(timeMs),
  };
}

function toWatched(message: WatchedMessage): WatchedAttempt {
  const { caller, participants, finished, autoAttempts, phi } = message;
  return {
    ref: toRef(message.ref),
    attempt: toNumber(message.attempt),
    caller,
    startedAtMs: toNumber(message.startedAtMs),
    progressAtMs: toTime(message.progressAtMs),
    timeoutMs: toNumber(message.timeoutMs),
    dueAtMs: toTime(message.dueAtMs),
    participants,
    finished,
    autoAttempts,
    phi,
  };
}
