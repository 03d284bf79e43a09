/** A client session: makes mutations safe to repeat, and keeps itself alive (Raft thesis, section 6.3; R6). */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { SessionService } from '../gen/quorate/v1/session_pb.ts';
import type { Caller } from './caller.ts';
import { IndeterminateError, QuorateError } from './errors.ts';
import { type HeaderInit, Mutations } from './mutations.ts';
import { RequestWindow } from './request-window.ts';
import type { MutationOptions } from './types.ts';

/** Keep-alives in one time to live; one may be lost. */
const KEEP_ALIVES_PER_TTL = 3;
/** How long `close` tries; a session that is not closed expires. */
const CLOSE_MS = 2_000;

export interface SessionDeps {
  readonly id: number;
  readonly ttlMs: number;
  readonly caller: Caller;
  /** Who asks, for records and events. */
  readonly callerName: string;
  readonly deadlineMs: number;
  readonly onClose: (session: Session) => void;
}

/**
 * Every mutation gets a number of its own and is repeated under it after a lost connection, a lost leader or an
 * unknown outcome, until its deadline: it is carried out at most once. At most 64 are in flight; more wait.
 */
export class Session extends Mutations implements AsyncDisposable {
  readonly id: number;
  readonly ttlMs: number;
  readonly #deps: SessionDeps;
  readonly #window = new RequestWindow();
  readonly #lost = new AbortController();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #closing: Promise<void> | null = null;

  constructor(deps: SessionDeps) {
    super();
    this.#deps = deps;
    this.id = deps.id;
    this.ttlMs = deps.ttlMs;
    this.#schedule();
  }

  /** Fires when the cluster has forgotten the session: whatever relies on it must stop. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Ends the session. Never rejects: what cannot be closed expires after its time to live. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  protected override async send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (header: HeaderInit) => MessageInitShape<I>,
    options: MutationOptions | undefined,
  ): Promise<MessageShape<O>> {
    if (this.#closing !== null || this.#lost.signal.aborted) {
      const message = this.#closing === null ? 'the session has expired' : 'the session is closed';
      throw new QuorateError({ reason: 'SESSION_EXPIRED', message: `${message}; open a new one` });
    }
    const sequence = await this.#window.acquire(options?.signal);
    return this.#run(sequence, method, request, options, false);
  }

  async #run<I extends DescMessage, O extends DescMessage>(
    sequence: number,
    method: DescMethodUnary<I, O>,
    request: (header: HeaderInit) => MessageInitShape<I>,
    options: MutationOptions | undefined,
    doubt: boolean,
  ): Promise<MessageShape<O>> {
    const again = (): Promise<MessageShape<O>> => {
      this.#window.reopen(sequence);
      // The old signal has done its work; the new try has a full deadline.
      const { signal: _, ...rest } = options ?? {};
      return this.#run(sequence, method, request, rest, true);
    };
    try {
      const answer = await this.#deps.caller.call({
        method,
        request: () => request(this.#header(sequence, options)),
        safety: 'session',
        deadlineMs: options?.deadlineMs ?? this.#deps.deadlineMs,
        signal: options?.signal,
        doubt,
        retry: again,
      });
      this.#window.settle(sequence);
      return answer;
    } catch (error) {
      if (error instanceof IndeterminateError) this.#window.abandon(sequence);
      else this.#window.settle(sequence);
      const refusal = error instanceof IndeterminateError ? error.cause : error;
      if (refusal instanceof QuorateError && refusal.reason === 'SESSION_EXPIRED') this.#expire();
      throw error;
    }
  }

  #header(sequence: number, options?: MutationOptions): HeaderInit {
    // One that is asked for again after it had to make room is below what was acknowledged since: the state, and not
    // the gateway, has to say what is known of it.
    const { ackedThrough } = this.#window;
    return {
      sessionId: BigInt(this.id),
      sequence: BigInt(sequence),
      ackedThrough: BigInt(sequence === 0 ? ackedThrough : Math.min(ackedThrough, sequence - 1)),
      caller: options?.caller ?? this.#deps.callerName,
      traceId: options?.traceId ?? '',
    };
  }

  #schedule(): void {
    if (this.#closing !== null || this.#lost.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#keepAlive(), this.ttlMs / KEEP_ALIVES_PER_TTL);
    // A session alone is no reason for the process to go on.
    this.#timer.unref();
  }

  async #keepAlive(): Promise<void> {
    try {
      await this.#callOnSession(SessionService.method.keepAlive, this.ttlMs / KEEP_ALIVES_PER_TTL);
    } catch (error) {
      // Anything else may be better next time.
      if (error instanceof QuorateError && error.reason === 'SESSION_EXPIRED') this.#expire();
    }
    this.#schedule();
  }

  /** Keeping alive and closing do no harm twice, so they take no sequence (0). */
  #callOnSession(
    method: typeof SessionService.method.keepAlive | typeof SessionService.method.closeSession,
    deadlineMs: number,
  ): Promise<unknown> {
    const request = () => ({ header: this.#header(0) });
    return this.#deps.caller.call<DescMessage, DescMessage>({ method, request, safety: 'repeatable', deadlineMs });
  }

  #expire(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#lost.abort(
      new QuorateError({ reason: 'SESSION_EXPIRED', message: 'the session has expired; open a new one' }),
    );
    this.#deps.onClose(this);
  }

  async #close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#lost.signal.aborted) return;
    try {
      await this.#callOnSession(SessionService.method.closeSession, Math.min(CLOSE_MS, this.#deps.deadlineMs));
    } catch {
      // It expires by itself.
    }
    this.#deps.onClose(this);
  }
}
