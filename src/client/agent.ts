/**
 * Agents: programs that do the work of phases. An agent says that it is alive for as long as it is open (D3), tells its progress
 * with a checksum of the checkpoint (V4), and hears of it when its attempt counts no more.
 *
 * ```ts
 * await using agent = new Agent(client, session);
 * await agent.run({ loop: 'nightly', g: 1, phase: 'CONSTRUCT' }, async (attempt) => {
 *   for (const page of pages) {
 *     await build(page, { token: attempt.token, signal: attempt.signal });
 *     await attempt.report({ subSteps: [{ id: page, result: 'built' }], checkpoint: page });
 *   }
 *   return 'all pages';
 * });
 * ```
 */
import crc32 from 'crc-32';
import { RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { HEARTBEAT_AGENTS_MAX } from '../types/limits.ts';
import { toNumber } from './convert.ts';
import { QuorateError, type QuorateReason } from './errors.ts';
import type { Mutations } from './mutations.ts';
import type { Reader } from './reader.ts';
import type { FinishedReported } from './recoveries.ts';
import type {
  BeginPhaseOptions,
  MutationOptions,
  PhaseAborted,
  PhaseBegun,
  PhaseEnded,
  PhaseRef,
  PhaseRun,
  ProgressReport,
  ProgressReported,
  ReadOptions,
  VectorClock,
} from './types.ts';

/** Until the cluster has said how often it wants to hear of its agents, milliseconds. */
const HEARTBEAT_DEFAULT_MS = 15_000;
/** Time for the farewell of an agent: who ends does not want to wait, milliseconds. */
const FAREWELL_DEADLINE_MS = 2_000;
/** Longest time for one heartbeat with all its tries, milliseconds; the next one does as well. */
const HEARTBEAT_DEADLINE_MAX_MS = 10_000;

/** An attempt that is refused for one of these has lost its run for good. */
const LOST: ReadonlySet<QuorateReason> = new Set<QuorateReason>([
  'STALE_FENCE',
  'PHASE_INTERRUPTED',
  'PHASE_FINAL',
  'PHASE_NOT_RUNNING',
  'ROUND_CLOSED',
]);

/** CRC-32 over the UTF-8 bytes of a text, as `checkpointCrc` wants it. */
export function checkpointCrc(checkpoint: string): number {
  return crc32.buf(new TextEncoder().encode(checkpoint)) >>> 0;
}

/** Says for the agents of this process that they are alive: all of them in one call, as often as the cluster wants it. */
export class Heartbeats {
  readonly #reader: Pick<Reader, 'repeatable'>;
  readonly #agents = new Map<string, Set<() => void>>();
  readonly #closed = new AbortController();
  #intervalMs = HEARTBEAT_DEFAULT_MS;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #beating = false;
  /** The newest round of heartbeats; never rejects. */
  #beat: Promise<void> = Promise.resolve();
  /** Somebody came while a beat was under way. */
  #again = false;

  constructor(reader: Pick<Reader, 'repeatable'>) {
    this.#reader = reader;
  }

  /** How often the cluster wants them, milliseconds. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /**
   * From now on `agent` is alive, until what this returns is called; a name may be added several times. `onBeat` is told after
   * each round of heartbeats, whether or not it arrived. What is returned resolves when no heartbeat is under way that could come after a
   * farewell, with whether nobody of this client goes by the name any more.
   */
  add(agent: string, onBeat: () => void = () => undefined): () => Promise<boolean> {
    const listeners = this.#agents.get(agent) ?? new Set();
    const isNew = listeners.size === 0;
    // An entry of its own, also where the same function was given twice.
    const listener = (): void => onBeat();
    this.#agents.set(agent, listeners.add(listener));
    if (isNew) this.#beatSoon();
    return async () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#agents.get(agent) === listeners) this.#agents.delete(agent);
      await this.#beat;
      return !this.#agents.has(agent) && !this.#closed.signal.aborted;
    };
  }

  /** No more heartbeats. Idempotent. */
  close(): void {
    this.#closed.abort(new QuorateError({ reason: 'UNAVAILABLE', message: 'the client is closed' }));
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#agents.clear();
  }

  #beatSoon(): void {
    if (this.#closed.signal.aborted) return;
    if (this.#beating) {
      this.#again = true;
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#beating = true;
    this.#beat = this.#sendBeat();
  }

  async #sendBeat(): Promise<void> {
    const startedMs = performance.now();
    const names = [...this.#agents.keys()];
    for (let at = 0; at < names.length; at += HEARTBEAT_AGENTS_MAX) {
      const agents = names.slice(at, at + HEARTBEAT_AGENTS_MAX);
      const deadlineMs = Math.min(this.#intervalMs, HEARTBEAT_DEADLINE_MAX_MS);
      try {
        const { signal } = this.#closed;
        const answer = await this.#reader.repeatable(
          RecoveryService.method.heartbeat,
          { agents },
          { deadlineMs, signal },
        );
        this.#intervalMs = toNumber(answer.heartbeatMs);
      } catch {
        // The next one may arrive; several in a row may be lost before anybody is believed dead.
      }
    }
    this.#beating = false;
    if (this.#closed.signal.aborted) return;
    for (const listeners of [...this.#agents.values()]) for (const listener of [...listeners]) listener();
    if (this.#again) {
      this.#again = false;
      this.#beatSoon();
    } else if (this.#agents.size > 0) {
      const waitMs = Math.max(0, this.#intervalMs - (performance.now() - startedMs));
      this.#timer = setTimeout(() => this.#beatSoon(), waitMs);
      // Being alive is no reason for the process to go on.
      this.#timer.unref();
    }
  }
}

/** What an agent needs of a client. */
export interface AgentClient {
  readonly caller: string;
  readonly heartbeats: Heartbeats;
  getPhaseRun(ref: PhaseRef, options?: ReadOptions): Promise<{ readonly run: PhaseRun }>;
}

export interface AgentOptions {
  /** Whom heartbeats and requests are of; default: the client's caller. One of the two must be given. */
  readonly name?: string;
}

/** Needs feature level 3 of the cluster. */
export class Agent implements AsyncDisposable {
  readonly name: string;
  readonly #client: AgentClient;
  readonly #session: Mutations;
  readonly #attempts = new Set<AgentAttempt>();
  readonly #stopBeating: () => Promise<boolean>;
  #closing: Promise<void> | null = null;

  /** `session`: for all that it asks; it is not closed with the agent. */
  constructor(client: AgentClient, session: Mutations, options: AgentOptions = {}) {
    this.name = options.name ?? client.caller;
    if (this.name === '') throw new RangeError('the agent has no name; give one, or connect the client with a caller');
    this.#client = client;
    this.#session = session;
    this.#stopBeating = client.heartbeats.add(this.name, () => {
      for (const attempt of this.#attempts) void attempt.look();
    });
  }

  /** Begins a phase, or takes it over. Whoever begins it must end it: see `AgentAttempt`. */
  async begin(ref: PhaseRef, options: BeginPhaseOptions = {}): Promise<AgentAttempt> {
    const begun = await this.#session.beginPhase(ref, { caller: this.name, ...options });
    const { traceId } = options;
    const attempt = new AgentAttempt(ref, begun, {
      client: this.#client,
      session: this.#session,
      options: { caller: this.name, ...(traceId === undefined ? {} : { traceId }) },
      onEnd: () => this.#attempts.delete(attempt),
    });
    this.#attempts.add(attempt);
    return attempt;
  }

  /**
   * Begins a phase, does the work, and commits with what it gives. Work that throws is given up (the phase may be begun again)
   * and what it threw is thrown; where the attempt was lost meanwhile there is nothing to give up.
   */
  async run(
    ref: PhaseRef,
    work: (attempt: AgentAttempt) => Promise<string | undefined>,
    options?: BeginPhaseOptions,
  ): Promise<PhaseEnded> {
    const attempt = await this.begin(ref, options);
    let result: string | undefined;
    try {
      result = await giveUpOnError(attempt, () => work(attempt));
    } finally {
      this.#attempts.delete(attempt);
    }
    const commit = () => attempt.commit(result === undefined ? {} : { result });
    // The work says that it is done, and has announced an effect of which nobody knows whether it happened: that is not done.
    return giveUpOnError(attempt, commit, (error) => error instanceof QuorateError && error.reason === 'EFFECTS_OPEN');
  }

  /**
   * It takes its leave: heartbeats end, and nobody misses them. Attempts that are open are found overdue. Never rejects: where the farewell
   * does not arrive, the agent is reported as down after more missed heartbeats than the policy allows. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#attempts.clear();
    if (!(await this.#stopBeating())) return;
    await this.#session
      .farewell(this.name, { caller: this.name, deadlineMs: FAREWELL_DEADLINE_MS })
      .catch(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function giveUpOnError<T>(
  attempt: AgentAttempt,
  act: () => Promise<T>,
  isReason: (error: unknown) => boolean = () => true,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // What was thrown says more than that giving up failed, too; the phase is found overdue then.
    if (!attempt.signal.aborted && isReason(error)) {
      await attempt.abort({ reason: reason.slice(0, 1_024) }).catch(() => undefined);
    }
    throw error;
  }
}

interface AttemptDeps {
  readonly client: AgentClient;
  readonly session: Mutations;
  /** Of every call that it makes. */
  readonly options: MutationOptions;
  readonly onEnd: () => void;
}

/** An attempt that this process works on, from its begin to its commit or abort. */
export class AgentAttempt {
  readonly ref: PhaseRef;
  readonly attempt: number;
  /** Goes to every system that the work touches. */
  readonly token: number;
  /** Last checkpoint of the earlier attempts; '' if none. */
  readonly checkpoint: string;
  /** Sub-steps that earlier attempts finished. */
  readonly subStepsDone: number;
  readonly vectorClock: VectorClock;
  readonly #revision: number;
  readonly #deps: AttemptDeps;
  readonly #lost = new AbortController();
  #ended = false;

  constructor(ref: PhaseRef, begun: PhaseBegun, deps: AttemptDeps) {
    this.ref = ref;
    this.attempt = begun.attempt;
    this.token = begun.token;
    this.checkpoint = begun.checkpoint;
    this.subStepsDone = begun.subStepsDone;
    this.vectorClock = begun.vectorClock;
    this.#revision = begun.revision;
    this.#deps = deps;
  }

  /** Fires with a `QuorateError` when the attempt counts no more: stop the work at once. Looked at with each heartbeat. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Records progress; a checkpoint goes with its checksum. Throws what `signal` fires with when the attempt was lost. */
  report(report: Omit<ProgressReport, 'checkpointCrc'>, options?: MutationOptions): Promise<ProgressReported> {
    const { checkpoint } = report;
    const whole = checkpoint === undefined ? report : { ...report, checkpointCrc: checkpointCrc(checkpoint) };
    return this.#guard(({ session }) => session.reportProgress(this.ref, this.token, whole, this.#with(options)));
  }

  /** A participant has finished its part; default: this agent. */
  finished(options?: MutationOptions & { readonly participant?: string }): Promise<FinishedReported> {
    return this.#guard(({ session }) => session.reportFinished(this.ref, this.token, this.#with(options)));
  }

  /** Ends the run as CLEAN_EXIT. */
  async commit(
    options?: MutationOptions & { readonly result?: string; readonly vectorClock?: VectorClock },
  ): Promise<PhaseEnded> {
    const answer = await this.#guard(({ session }) => session.commitPhase(this.ref, this.token, this.#with(options)));
    this.#end();
    return answer;
  }

  /** Gives the attempt up: the run may be begun again, unless `hardFail`. Effects of it are undone first: see `rollingBack`. */
  async abort(
    options?: MutationOptions & { readonly reason?: string; readonly hardFail?: boolean },
  ): Promise<PhaseAborted> {
    const answer = await this.#guard(({ session }) => session.abortPhase(this.ref, this.token, this.#with(options)));
    this.#end();
    return answer;
  }

  /** Whether the attempt still counts, as any member knows it. Never rejects: `signal` says what was found. */
  async look(): Promise<void> {
    if (this.#ended) return;
    try {
      const { run } = await this.#deps.client.getPhaseRun(this.ref, { consistency: 'stale' });
      // A member that lags has not heard of this attempt yet; one that ended meanwhile has ended by itself.
      if (this.#ended || run.changedRevision < this.#revision) return;
      if (run.attempt === this.attempt && run.state === 'RUNNING') return;
      this.#lose(lostTo(run, this.attempt));
    } catch {
      // Nothing is known; the next heartbeat, or the next report, finds out.
    }
  }

  #with<Options extends MutationOptions>(options: Options | undefined): Options & MutationOptions {
    return { ...this.#deps.options, ...(options as Options) };
  }

  async #guard<Answer>(call: (deps: AttemptDeps) => Promise<Answer>): Promise<Answer> {
    this.#lost.signal.throwIfAborted();
    try {
      return await call(this.#deps);
    } catch (error) {
      if (error instanceof QuorateError && LOST.has(error.reason)) this.#lose(error);
      throw error;
    }
  }

  #lose(error: QuorateError): void {
    this.#end();
    this.#lost.abort(error);
  }

  #end(): void {
    this.#ended = true;
    this.#deps.onEnd();
  }
}

function lostTo({ ref, state, attempt }: PhaseRun, mine: number): QuorateError {
  const name = `${ref.loop} ${ref.g} ${ref.phase}`;
  const details = { attempt: String(attempt), state };
  if (attempt > mine) {
    const message = `attempt ${mine} at ${name} counts no more: attempt ${attempt} took over; stop the work`;
    return new QuorateError({ reason: 'STALE_FENCE', message, details });
  }
  if (state === 'FAILED_PARTIAL') {
    const message = `attempt ${mine} at ${name} was interrupted, and is being recovered; stop the work`;
    return new QuorateError({ reason: 'PHASE_INTERRUPTED', message, details });
  }
  const message = `attempt ${mine} at ${name} is over: ${state}; stop the work`;
  return new QuorateError({ reason: 'PHASE_NOT_RUNNING', message, details });
}
