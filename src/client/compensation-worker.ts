/**
 * A worker that undoes external effects (L2): it keeps a stream to the leader, wherever that is, takes tasks from queues and
 * answers them.
 *
 * ```ts
 * const stop = new AbortController();
 * await runCompensationWorker({
 *   endpoints: ['127.0.0.1:7401', '127.0.0.1:7402', '127.0.0.1:7403'],
 *   queues: ['virtual-machines'],
 *   signal: stop.signal,
 *   compensate: async ({ key, payload }) => {
 *     await deleteOnce(key, JSON.parse(payload));
 *     return 'done';
 *   },
 * });
 * ```
 */
import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { ClusterService } from '../gen/quorate/v1/cluster_pb.ts';
import {
  CompensationWorkerService,
  WorkOutcome,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  type WorkTask,
} from '../gen/quorate/v1/compensator_pb.ts';
import { methodDefinition } from '../rpc/service.ts';
import { Channels, toFailure, within } from './channels.ts';
import { toFacts, toMemberStatus, toNumber } from './convert.ts';
import { QuorateError } from './errors.ts';
import { BrokenStreams, backOffMs, type Failure } from './retry.ts';
import { Router } from './router.ts';

/** How long a member may take to say who leads, milliseconds. */
const ASK_LEADER_MS = 500;
/** How long a connection and the first message may take, milliseconds: a member that is stuck says nothing. */
const OPEN_MS = 3_000;
/** Longest pause before the next try, milliseconds. */
const PAUSE_MAX_MS = 2_000;
/** What is told of an error, UTF-16 code units. */
const ERROR_LENGTH_MAX = 300;

export interface Compensation {
  readonly queue: string;
  /** Idempotency key of the effect: undo it once, however often the task comes. */
  readonly key: string;
  /** Rises with every change of hands of the recovery of (loop, phase): one below the highest that was seen is stale. */
  readonly token: number;
  /** Which try this is, from 1. */
  readonly attempt: number;
  /** What is left of the time for it, milliseconds. */
  readonly deadlineMs: number;
  /** false: only the intent is on record; the effect may or may not have happened. */
  readonly confirmed: boolean;
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
  readonly traceId: string;
  /** As it was registered with the intent. */
  readonly payload: string;
  /** Fires when an answer would come too late. */
  readonly signal: AbortSignal;
}

export interface CompensationWorkerOptions {
  /** `host:port` of members; one is enough, all is better. */
  readonly endpoints: readonly string[];
  /** Queues to take tasks from, 1 to 64. */
  readonly queues: readonly string[];
  /** Tasks at a time, 1 to 1,024; default 1. */
  readonly capacity?: number;
  /**
   * Undoes one effect. `done`: it is undone, or was before, or never happened. `stale`: a higher token was seen, and nothing was
   * done. What it throws is a failed try, and the task comes again.
   */
  readonly compensate: (compensation: Compensation) => Promise<'done' | 'stale'>;
  /** Ends the worker; what it has not answered comes again. */
  readonly signal: AbortSignal;
  /** The stream is there, at the member with this address. */
  readonly onOpen?: (address: string) => void;
}

type Stream = ClientDuplexStream<WorkRequest, WorkResponse>;

const METHOD = methodDefinition(CompensationWorkerService.method.work);

const OPTIONS = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 500,
  // A stream without tasks is silent: this finds out that the member has gone.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.enable_http_proxy': 0,
} as const;

/** Resolves when `signal` has fired. Rejects with `QuorateError` only for a mistake of the options: members refuse them. */
export async function runCompensationWorker(options: CompensationWorkerOptions): Promise<void> {
  const { endpoints, signal } = options;
  if (endpoints.length === 0) throw new RangeError('endpoints is empty; name at least one member as host:port');
  const channels = new Channels();
  const router = new Router([...new Set(endpoints)], {
    ask: async (address) => {
      const answer = await channels.unary(address, ClusterService.method.getStatus, {}, within(ASK_LEADER_MS), signal);
      if (!answer.ok) throw answer.error.error;
      return toFacts(toMemberStatus(answer.value));
    },
    nowMs: () => performance.now(),
    random: Math.random,
  });
  try {
    const broken = new BrokenStreams();
    while (!signal.aborted) {
      const address = await router.pick();
      let failure: Failure | null = null;
      if (address !== null) {
        const work = new Work(options, address, () => {
          broken.begun(performance.now());
          router.succeeded(address);
        });
        failure = await work.run();
        if (failure !== null) router.failed(address, failure);
        if (failure?.kind === 'refused' && failure.error.reason === 'INVALID_ARGUMENT') throw failure.error;
      }
      const wait = backOffMs(broken.broke(performance.now()), failure?.error ?? null, Math.random);
      await pause(Math.min(PAUSE_MAX_MS, wait), signal);
    }
  } finally {
    channels.close();
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}

/** One stream to one member. */
class Work {
  readonly #options: CompensationWorkerOptions;
  readonly #address: string;
  readonly #onOpen: () => void;
  readonly #tasks = new Map<bigint, AbortController>();
  #over = false;

  constructor(options: CompensationWorkerOptions, address: string, onOpen: () => void) {
    this.#options = options;
    this.#address = address;
    this.#onOpen = onOpen;
  }

  /** Until the stream ends; null: the worker was told to stop. */
  run(): Promise<Failure | null> {
    const { queues, capacity = 1, signal } = this.#options;
    const client = new Client(this.#address, credentials.createInsecure(), OPTIONS);
    const stream: Stream = client.makeBidiStreamRequest(
      METHOD.path,
      METHOD.requestSerialize,
      METHOD.responseDeserialize,
      new Metadata(),
    );
    return new Promise((resolve) => {
      const finish = (failure: Failure | null): void => {
        if (this.#over) return;
        this.#over = true;
        clearTimeout(silent);
        signal.removeEventListener('abort', onAbort);
        for (const task of this.#tasks.values()) task.abort();
        stream.cancel();
        client.close();
        resolve(failure);
      };
      const onAbort = (): void => finish(null);
      const gone = (what: string): Failure => {
        const error = new QuorateError({ reason: 'UNAVAILABLE', message: `${this.#address}: ${what}` });
        return { kind: 'refused', error, leaderAddress: null };
      };
      const silent = setTimeout(() => finish(gone(`no answer within ${OPEN_MS} ms`)), OPEN_MS);
      signal.addEventListener('abort', onAbort, { once: true });
      stream.on('error', (error) => finish(toFailure(error, this.#address)));
      stream.on('end', () => finish(gone('the member has closed the stream')));
      stream.on('data', ({ message }: WorkResponse) => {
        if (this.#over) return;
        if (message.case === 'opened') {
          clearTimeout(silent);
          this.#onOpen();
          this.#options.onOpen?.(this.#address);
        }
        if (message.case === 'task') void this.#take(stream, message.value);
        if (message.case === 'withdrawn') this.#tasks.get(message.value.task)?.abort();
      });
      const open = { $typeName: 'quorate.v1.WorkOpen' as const, queues: [...queues], capacity };
      stream.write(create(WorkRequestSchema, { message: { case: 'open', value: open } }));
      if (signal.aborted) onAbort();
    });
  }

  /** Never rejects. */
  async #take(stream: Stream, { task, queue, request }: WorkTask): Promise<void> {
    if (request === undefined) return;
    const withdrawn = new AbortController();
    this.#tasks.set(task, withdrawn);
    const compensation: Compensation = {
      queue,
      key: request.key,
      token: toNumber(request.token),
      attempt: request.attempt,
      deadlineMs: toNumber(request.deadlineMs),
      confirmed: request.confirmed,
      loop: request.loop,
      g: toNumber(request.g),
      phase: request.phase,
      traceId: request.traceId,
      payload: request.payload,
      signal: withdrawn.signal,
    };
    let outcome: WorkOutcome = WorkOutcome.FAILED;
    let why = '';
    try {
      const said = await this.#options.compensate(compensation);
      outcome = said === 'stale' ? WorkOutcome.STALE : WorkOutcome.DONE;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      why = text.slice(0, ERROR_LENGTH_MAX).replaceAll(/\p{Surrogate}/gu, '\ufffd');
    }
    this.#tasks.delete(task);
    if (this.#over || withdrawn.signal.aborted) return;
    const answer = { $typeName: 'quorate.v1.WorkAnswer', task, outcome, error: why } as const;
    stream.write(create(WorkRequestSchema, { message: { case: 'answer', value: answer } }));
  }
}
