/**
 * The recoveries of one term that this member leads. It reads the state, does the next thing, says in the log what came of it, and
 * reads the state again.
 *
 * RR1  One job for each recovery at a time; so compensators of a run are called strictly one after the other, in the order in
 *      which the state names them: newest first (V3). Jobs of different recoveries run side by side (V7).
 * RR2  A recovery that was active before this term is taken over before anything else is done for it: its token rises, and
 *      receivers refuse what an older leader still sends (V4).
 * RR3  Nothing is kept of a recovery but its job. A job that ends without having come further leaves a pause behind at most.
 * RR4  A call that was begun ends by itself, by its deadline, whatever becomes of the term or of who asked for the rollback: what
 *      it did is then known to its receiver by the key, and the next leader's call finds it done.
 * RR5  While the policy says that automation is paused nothing is begun; what is under way is said, and then stands still.
 */
import { KEY_END, next } from '../machine/keys.ts';
import { effectRowKey } from '../machine/ledger/effects.ts';
import type { EffectRow } from '../machine/ledger/types.ts';
import { keyOf } from '../machine/recovery/rows.ts';
import type { RecoveryStep } from '../machine/recovery/transitions.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import { openRecoveries, recoveryOf } from '../machine/recovery/view.ts';
import type { CommandBody, CommandResult, MachineEvent } from '../machine/types.ts';
import type { LeaderPort } from '../node/leader-work.ts';
import { unreachable } from '../types/assert.ts';
import { type ClusterTimeMs, clusterTimeMs, type LogIndex } from '../types/ids.ts';
import { fullJitterMs } from './back-off.ts';
import { CallSlots } from './call-slots.ts';
import { Circuits } from './circuits.ts';
import { type CallOutcome, type CompensationCall, errorText } from './hook.ts';
import { policyValue } from './policy.ts';
import { ProposalSlots } from './proposal-slots.ts';
import { nextAction, type RecoveryAction } from './recovery-action.ts';
import type { RecoveryDriverDeps } from './recovery-driver.ts';

/** Jobs at a time: each has one proposal or one call under way. */
const JOBS_MAX = 1_536;
/** Recoveries that one tick looks at. */
const RECOVERY_PAGE = 1_000;
/** Proposals of them at a time: enough to share an fsync, few enough for the writes of clients to come between them. */
const PROPOSALS_MAX = 32;
/** After an answer that did not come, and after a refusal, milliseconds. */
const UNKNOWN_PAUSE_MS = 100;
const REFUSED_PAUSE_MS = 1_000;

type Settle = Omit<Extract<CommandBody, { kind: 'settleCompensation' }>, 'kind' | 'ref' | 'token' | 'seq'>;

const NO_TIME: ClusterTimeMs | 0 = 0;

export class RecoveryReign {
  readonly #port: LeaderPort;
  readonly #deps: RecoveryDriverDeps;
  readonly #signal: AbortSignal;
  readonly #ledAt: LogIndex;
  readonly #circuits = new Circuits();
  readonly #slots: CallSlots;
  readonly #jobs = new Set<string>();
  /** Monotonic time before which a recovery is left alone; by run. */
  readonly #pauses = new Map<string, number>();
  readonly #proposals = new ProposalSlots(PROPOSALS_MAX);
  /** null: all circuits are known. */
  #learnedThrough: string | null = '';
  /** The last recovery that was looked at; null: the next one is the first. */
  #cursor: string | null = null;

  /** `signal` fires when the member stops. */
  constructor(port: LeaderPort, deps: RecoveryDriverDeps, signal: AbortSignal) {
    this.#port = port;
    this.#deps = deps;
    this.#signal = signal;
    this.#ledAt = port.view.appliedIndex;
    this.#slots = new CallSlots(deps.callsMax);
  }

  /** Looks at a page of the open recoveries, in turn, and begins what they need. `nowMs` is monotonic. */
  tick(nowMs: number): void {
    for (const [key, untilMs] of this.#pauses) if (untilMs <= nowMs) this.#pauses.delete(key);
    this.#learnCircuits();
    if (this.#paused) return;
    const page = openRecoveries(this.#port.view, this.#cursor, RECOVERY_PAGE);
    this.#cursor = page.next;
    const due = page.rows.flatMap(({ run, row }) => {
      const idle = !this.#jobs.has(run) && !this.#pauses.has(run);
      const action = idle ? nextAction(row, this.#ledAt, this.#port.nowMs()) : NOTHING;
      return action.kind === 'none' || action.kind === 'later' ? [] : [{ key: run, action }];
    });
    // RR2: those of an older leader first.
    for (const { key, action } of due) if (action.kind === 'takeOver') this.#begin(key);
    for (const { key, action } of due) if (action.kind !== 'takeOver') this.#begin(key);
  }

  /** CB4: a supervisor has resumed what a compensator blocked. */
  applied(events: readonly MachineEvent[]): void {
    for (const { kind, outcome, loop, g, phase } of events) {
      if (kind !== 'phase_recovery.rollback' || !/^(?:BLOCKED_COMPENSATOR|HARD_FAILED)>/.test(outcome)) continue;
      const row = recoveryOf(this.#port.view, { loop, g, phase });
      const effect = row === null ? null : this.#effect(keyOf(row), row.seq);
      if (effect !== null) this.#circuits.succeeded(targetOf(effect));
    }
  }

  /** A page of all recoveries for each tick, until all were seen: how many targets are known to be down. */
  #learnCircuits(): void {
    if (this.#learnedThrough === null) return;
    const { rows } = this.#port.view;
    const triesMax = policyValue(rows, 'compensatorTriesMax');
    const circuitMs = policyValue(rows, 'circuitMs');
    const page = rows.recovery.range(next(this.#learnedThrough), KEY_END, RECOVERY_PAGE);
    for (const [key, row] of page) {
      // Fewer tries: it was blocked because the circuit was open already, which says nothing of the target (CB1).
      if (row.state !== 'BLOCKED_COMPENSATOR' || row.tries < triesMax) continue;
      const effect = this.#effect(key, row.seq);
      if (effect !== null) this.#circuits.learn(targetOf(effect), row.blockedAtMs, circuitMs);
    }
    this.#learnedThrough = page.length < RECOVERY_PAGE ? null : (page.at(-1)?.[0] ?? null);
  }

  #begin(key: string): void {
    if (this.#jobs.size >= JOBS_MAX) return;
    this.#jobs.add(key);
    this.#run(key)
      .catch((error: unknown) => this.#deps.onBug(error))
      .finally(() => this.#jobs.delete(key));
  }

  get #paused(): boolean {
    return policyValue(this.#port.view.rows, 'automationPaused') === 1;
  }

  /** As far as it gets: ends when there is nothing to do now, or when somebody else has to come further first. */
  async #run(key: string): Promise<void> {
    // The state goes through the documents in pieces; the schemas are gone through once.
    let found: Promise<Examined> | null = null;
    const documents = (): Promise<Examined> => {
      found ??= this.#deps.checkDocuments(this.#port.view.rows, key);
      return found;
    };
    let further = true;
    while (further && this.#port.leading && !this.#signal.aborted && !this.#paused) {
      const row = this.#port.view.rows.recovery.get(key);
      if (row === null) return;
      further = await this.#act(key, row, nextAction(row, this.#ledAt, this.#port.nowMs()), documents);
    }
  }

  /** True when the state has changed by it. */
  async #act(key: string, row: RecoveryRow, action: RecoveryAction, documents: Examine): Promise<boolean> {
    const { loop, g, phase, token } = row;
    const ref = { loop, g, phase };
    switch (action.kind) {
      case 'none':
      case 'later':
        return false;
      case 'start':
        return this.#say(key, row, { kind: 'startRecovery', ref, token });
      case 'takeOver':
        return this.#say(key, row, { kind: 'takeOverRecovery', ref, token });
      case 'step': {
        const { step } = action;
        const found = await examine(row, step, documents);
        return this.#say(key, row, { kind: 'completeStep', ref, token, step, ...found });
      }
      case 'compensate':
        return this.#compensate(key, row);
      default:
        return unreachable(action, 'recovery action');
    }
  }

  /** True when it was carried out. */
  async #say(key: string, row: RecoveryRow, body: CommandBody): Promise<boolean> {
    const result = await this.#propose(row, body);
    if (result?.ok === true) return true;
    this.#pause(key, result === null ? UNKNOWN_PAUSE_MS : REFUSED_PAUSE_MS);
    if (result !== null) this.#deps.onRefused?.(body, result.rejection);
    return false;
  }

  async #propose(row: RecoveryRow, body: CommandBody): Promise<CommandResult | null> {
    const release = await this.#proposals.take(row.state === 'ROLLBACK');
    try {
      if (!this.#port.leading || this.#signal.aborted) return null;
      if (this.#paused && body.kind !== 'settleCompensation') return null;
      return await this.#port.propose(body, row.traceId);
    } finally {
      release();
    }
  }

  async #compensate(key: string, row: RecoveryRow): Promise<boolean> {
    const effect = this.#effect(key, row.seq);
    if (effect === null) {
      this.#deps.onBug(new Error(`recovery ${key} names effect ${row.seq}, which is not on record`));
      this.#pause(key, REFUSED_PAUSE_MS);
      return false;
    }
    const target = targetOf(effect);
    const release = this.#slots.take(effect.compensator.kind, target);
    if (release === null) return false;
    const nowMs = this.#port.nowMs();
    const verdict = this.#circuits.ask(target, nowMs);
    if (verdict !== 'call') {
      release();
      if (verdict === 'wait') return false;
      const error = `the circuit of ${target} is open: its last compensator had no try left`;
      return this.#settle(key, row, { done: false, error, nextTryAtMs: NO_TIME, circuitOpen: true });
    }
    try {
      return await this.#call(key, row, effect);
    } finally {
      release();
      this.#circuits.released(target);
    }
  }

  async #call(key: string, row: RecoveryRow, effect: EffectRow): Promise<boolean> {
    const outcome = await this.#ask(row, effect);
    if (!this.#port.leading || this.#signal.aborted) return false;
    const target = targetOf(effect);
    switch (outcome.kind) {
      case 'done':
        this.#circuits.succeeded(target);
        return this.#settleDone(key, row);
      case 'failed':
        return this.#settleFailed(key, row, target, outcome.error);
      case 'stale':
        return this.#provenStale(key, row, effect);
      default:
        return unreachable(outcome, 'call outcome');
    }
  }

  /** The effect is undone: worth saying until it is heard, instead of calling again. */
  async #settleDone(key: string, row: RecoveryRow): Promise<boolean> {
    for (;;) {
      const said = await this.#settle(key, row, { done: true, error: '', nextTryAtMs: NO_TIME, circuitOpen: false });
      if (said || !this.#port.leading || this.#signal.aborted || !this.#same(key, row)) return said;
      await new Promise<void>((resolve) => this.#port.clock.after(UNKNOWN_PAUSE_MS, resolve));
    }
  }

  #settleFailed(key: string, row: RecoveryRow, target: string, error: string): Promise<boolean> {
    const { rows } = this.#port.view;
    const attempt = row.tries + 1;
    const last = attempt >= policyValue(rows, 'compensatorTriesMax');
    const nowMs = this.#port.nowMs();
    const open = this.#circuits.failed(target, last, nowMs, policyValue(rows, 'circuitMs'));
    const baseMs = policyValue(rows, 'compensatorBackoffMs');
    const capMs = policyValue(rows, 'compensatorBackoffMaxMs');
    const nextTryAtMs = clusterTimeMs(nowMs + fullJitterMs(this.#port.random, attempt, baseMs, capMs));
    return this.#settle(key, row, { done: false, error, nextTryAtMs, circuitOpen: open && !last });
  }

  /**
   * The receiver has seen a higher token. Either there is a newer leader, who is then asked through the log; or this one still
   * leads, and what the receiver remembers is of another history (a cluster that was restored): with a new token it says so
   * again, and then it is a failed try, which a supervisor gets to see in the end.
   */
  async #provenStale(key: string, row: RecoveryRow, effect: EffectRow): Promise<boolean> {
    const { loop, g, phase, token } = row;
    const taken = await this.#say(key, row, { kind: 'takeOverRecovery', ref: { loop, g, phase }, token });
    const now = this.#port.view.rows.recovery.get(key);
    if (!taken || now === null || now.state !== 'ROLLBACK' || now.seq !== row.seq) return taken;
    const outcome = await this.#ask(now, effect);
    if (!this.#port.leading || this.#signal.aborted) return false;
    if (outcome.kind === 'done') return this.#settleDone(key, now);
    const error =
      outcome.kind === 'failed'
        ? outcome.error
        : `it has seen a token above ${now.token}, which is the newest there is`;
    return this.#settleFailed(key, now, targetOf(effect), error);
  }

  async #ask(row: RecoveryRow, effect: EffectRow): Promise<CallOutcome> {
    const { kind, target, payload } = effect.compensator;
    const call: CompensationCall = {
      target,
      key: effect.key,
      token: row.token,
      attempt: row.tries + 1,
      deadlineMs: policyValue(this.#port.view.rows, 'compensatorDeadlineMs'),
      confirmed: effect.state === 'CONFIRMED',
      loop: row.loop,
      g: row.g,
      phase: row.phase,
      traceId: row.traceId,
      payload,
    };
    const startedMs = this.#port.clock.monotonicMs();
    const outcome = await this.#deps.hooks[kind].call(call, this.#signal);
    this.#deps.onCall?.({ kind, call, outcome, durationMs: this.#port.clock.monotonicMs() - startedMs });
    return outcome;
  }

  #settle(key: string, row: RecoveryRow, settle: Settle): Promise<boolean> {
    const { loop, g, phase, token, seq } = row;
    const error = errorText(settle.error);
    return this.#say(key, row, { kind: 'settleCompensation', ref: { loop, g, phase }, token, seq, ...settle, error });
  }

  /** Nothing has happened to the recovery meanwhile. */
  #same(key: string, row: RecoveryRow): boolean {
    const now = this.#port.view.rows.recovery.get(key);
    return now !== null && now.state === row.state && now.token === row.token && now.seq === row.seq;
  }

  #effect(key: string, seq: number): EffectRow | null {
    return seq === 0 ? null : this.#port.view.rows.effect.get(effectRowKey(key, seq));
  }

  #pause(key: string, ms: number): void {
    this.#pauses.set(key, this.#port.clock.monotonicMs() + ms);
  }
}

const NOTHING: RecoveryAction = { kind: 'none' };

/** What a circuit is about. */
function targetOf({ compensator }: EffectRow): string {
  return `${compensator.kind} ${compensator.target}`;
}

interface Examined {
  readonly ok: boolean;
  readonly detail: string;
}

type Examine = () => Promise<Examined>;

/** What the state cannot see by itself of a step; all else is decided when the command is applied. */
async function examine({ changedRevision }: RecoveryRow, step: RecoveryStep, documents: Examine): Promise<Examined> {
  switch (step) {
    case 'wal_fsync':
      return { ok: true, detail: `revision ${changedRevision} is durable on a majority` };
    case 'checkpoint_flush':
    case 'sel_compensate':
    case 'snapshot_apply':
      return { ok: true, detail: '' };
    case 'vc_merge':
      return documents();
    default:
      return unreachable(step, 'recovery step');
  }
}
