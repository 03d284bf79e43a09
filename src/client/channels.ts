/** gRPC connections, one for each address, and single tries over them. Knows nothing of leaders or retries. */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import {
  Client,
  type ClientReadableStream,
  status as Code,
  connectivityState,
  credentials,
  Metadata,
} from '@grpc/grpc-js';
import { PipelineService } from '../gen/quorate/v1/pipeline_pb.ts';
import { SessionService } from '../gen/quorate/v1/session_pb.ts';
import { isPipelined } from '../rpc/pipelined.ts';
import { methodDefinition } from '../rpc/service.ts';
import { type ParsedStatus, parseStatus, parseStatusMessage } from '../rpc/status.ts';
import { CLIENT_MESSAGE_BYTES_MAX, PIPELINED_REQUEST_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { isQuorateReason, QuorateError } from './errors.ts';
import { Pipeline, type PipelineStream } from './pipeline.ts';
import type { Failure } from './retry.ts';

/** How long a connection may take to be made, milliseconds. */
const CONNECT_MS = 1_000;
/** A list page may hold 1,000 sub-steps with long results. */
const RECEIVE_BYTES_MAX = 64 * CLIENT_MESSAGE_BYTES_MAX;

const OPTIONS = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 500,
  // Finds a member that is gone without a word; tells nothing of one that is alive but stuck.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.max_receive_message_length': RECEIVE_BYTES_MAX,
  'grpc.enable_http_proxy': 0,
} as const;

/** Codes without a reason of ours that still say: not carried out. */
const DEFINITE: ReadonlySet<Code> = new Set([
  Code.INVALID_ARGUMENT,
  Code.UNIMPLEMENTED,
  Code.UNAUTHENTICATED,
  Code.PERMISSION_DENIED,
  Code.RESOURCE_EXHAUSTED,
  Code.OUT_OF_RANGE,
]);

/**
 * What grpc-js says when the stream of a call was reset with ENHANCE_YOUR_CALM: HTTP/2 had no room for it, before or while it was carried
 * out. The code is RESOURCE_EXHAUSTED (measured: 4,096 calls under way, Node.js 24).
 */
const RESET_FOR_ROOM = 'Bandwidth exhausted or memory limit exceeded';

/**
 * Unary calls to one member from which on more of them share a stream. Fewer gain nothing by it: each is sooner on a stream of its own,
 * and sooner back.
 */
const PILE = 8;
/** Calls to one member that are under way by themselves, while its pipeline is stuck, when no more of those that wait for it join them. */
const ASIDE_MAX = 64;
/** How long a member that knows no pipelines is not asked for one again, milliseconds; one that has no room says when. */
const NO_PIPELINE_MS = 30_000;

/** What an error of a call means. */
export function toFailure(error: unknown, address: string): Failure {
  return failureOf(parseStatus(error), address, error);
}

function failureOf(status: ParsedStatus, address: string, error: unknown): Failure {
  const { code, message, reason, metadata, retryAfterMs } = status;
  const known = isQuorateReason(reason);
  const details = known || reason === '' ? metadata : { ...metadata, reason };
  const definite = DEFINITE.has(code) && message !== RESET_FOR_ROOM;
  if (reason === 'INDETERMINATE' || (reason === '' && !definite)) {
    const text = reason === '' ? `${address}: ${Code[code]}: ${message}` : message;
    const unknown = new QuorateError({ reason: 'UNAVAILABLE', message: text, details, retryAfterMs, cause: error });
    return { kind: 'unknown', error: unknown, answered: reason !== '' };
  }
  const fields = { reason: known ? reason : 'UNKNOWN', message, details, retryAfterMs, cause: error } as const;
  return { kind: 'refused', error: new QuorateError(fields), leaderAddress: metadata.leader_address || null };
}

/** Whatever the status of a stream says, it says nothing of a call that was on it: that may have been carried out before. */
function lost(error: unknown, address: string): Failure {
  const { code, message } = parseStatus(error);
  const text = `${address}: ${Code[code]}: ${message}`;
  return {
    kind: 'unknown',
    error: new QuorateError({ reason: 'UNAVAILABLE', message: text, cause: error }),
    answered: false,
  };
}

/** No answer came in time, on a stream that is not broken. */
function silent(address: string): Failure {
  const message = `${address}: no answer within the deadline; it may be held up by one before it`;
  const error = new QuorateError({ reason: 'UNAVAILABLE', message });
  return { kind: 'unknown', error, answered: false, silent: true };
}

/** It was not sent, because the member answers slowly, or not at all. */
function held(address: string): Failure {
  return { ...unreached(address, 'the calls before it have no answer'), silent: true };
}

function unreached(address: string, why: string): Failure {
  const message = `${address}: ${why}; check that the member runs and that the address is right`;
  return { kind: 'refused', error: new QuorateError({ reason: 'UNAVAILABLE', message }), leaderAddress: null };
}

/** It waited here for those before it, and was not sent: no member is to blame. */
function tooLate(address: string): Failure {
  const message = `the time was over before the call was sent: more are under way than ${address} answers in time; send less at once`;
  return { kind: 'refused', error: new QuorateError({ reason: 'OVERLOADED', message }), leaderAddress: null };
}

/** A session must not expire because its sign of life waits behind others. */
function sharesStream(method: DescMethodUnary): boolean {
  return isPipelined(method) && method.name !== SessionService.method.keepAlive.name;
}

/** How long a call may take, milliseconds. */
export interface CallTime {
  /** From when it is sent until its answer is there. */
  readonly tryMs: number;
  /** In all. */
  readonly leftMs: number;
}

/** All of it for one try. */
export function within(ms: number): CallTime {
  return { tryMs: ms, leftMs: ms };
}

export class Channels {
  readonly #clients = new Map<string, Client>();
  readonly #pipelines = new Map<string, Pipeline>();
  /** Unary calls under way, by address. */
  readonly #unary = new Map<string, number>();
  /** Members that are not asked for a pipeline before this time, of the process. */
  readonly #without = new Map<string, number>();
  readonly #calls = new Set<{ cancel(): void }>();
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  /** One try. Never rejects: what went wrong is in the result. */
  async unary<I extends DescMessage, O extends DescMessage>(
    address: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    time: CallTime,
    signal?: AbortSignal,
  ): Promise<Result<MessageShape<O>, Failure>> {
    const startedMs = performance.now();
    const connected = await this.#connect(address, Math.min(CONNECT_MS, time.tryMs), signal);
    if (!connected.ok) return connected;
    const leftOf = (ms: number): number => ms - (performance.now() - startedMs);
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const message = create(method.input, request);
    let tryMs = leftOf(time.tryMs);
    if (sharesStream(method) && this.#piles(address)) {
      const left = { tryMs, leftMs: leftOf(time.leftMs) };
      const answer = await this.#pipelined(address, connected.value, method, message, left, signal);
      if (answer !== null) return answer;
      if (signal?.aborted === true) return err(unreached(address, 'the call was given up'));
      // The time that it waited there is not this try's.
      tryMs = Math.min(time.tryMs, leftOf(time.leftMs));
      if (tryMs <= 0) return err(tooLate(address));
    }
    this.#unary.set(address, (this.#unary.get(address) ?? 0) + 1);
    return new Promise((resolve) => {
      const call = connected.value.makeUnaryRequest(
        path,
        requestSerialize as (message: MessageShape<I>) => Buffer,
        responseDeserialize as (bytes: Buffer) => MessageShape<O>,
        message,
        new Metadata(),
        { deadline: Date.now() + tryMs },
        (error, response) => {
          this.#calls.delete(call);
          this.#unary.set(address, (this.#unary.get(address) ?? 1) - 1);
          this.#pipelines.get(address)?.asideDone();
          signal?.removeEventListener('abort', onAbort);
          if (error !== null) resolve(err(toFailure(error, address)));
          else if (response === undefined) resolve(err(toFailure(new Error('an empty answer'), address)));
          else resolve(ok(response));
        },
      );
      this.#calls.add(call);
      const onAbort = (): void => call.cancel();
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #piles(address: string): boolean {
    const pipeline = this.#pipelines.get(address);
    const single = this.#unary.get(address) ?? 0;
    if (pipeline?.stuck === true && single < ASIDE_MAX) return false;
    const atOnce = single + (pipeline?.size ?? 0);
    return atOnce >= PILE && performance.now() >= (this.#without.get(address) ?? 0);
  }

  /** null: it has certainly not reached a handler, and is to be sent by itself. */
  async #pipelined<I extends DescMessage, O extends DescMessage>(
    address: string,
    client: Client,
    method: DescMethodUnary<I, O>,
    message: MessageShape<I>,
    { tryMs, leftMs }: CallTime,
    signal?: AbortSignal,
  ): Promise<Result<MessageShape<O>, Failure> | null> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    let bytes: Buffer;
    try {
      bytes = (requestSerialize as (message: MessageShape<I>) => Buffer)(message);
    } catch {
      // It says what is wrong with it when it is sent by itself.
      return null;
    }
    if (bytes.length > PIPELINED_REQUEST_BYTES_MAX) return null;
    const pipeline = this.#pipeline(address, client);
    const outcome = await pipeline.call({ method: path, bytes, tryMs, leftMs, signal });
    if (outcome.kind === 'aside') return null;
    if (outcome.kind === 'held') return err(held(address));
    if (outcome.kind === 'late') return err(tooLate(address));
    if (outcome.kind === 'silent') return err(silent(address));
    if (outcome.kind === 'broken') {
      if (outcome.unread) return null;
      return err(outcome.sent ? lost(outcome.error, address) : unreached(address, 'the stream of calls broke'));
    }
    const { response, error } = outcome.answer;
    if (error !== undefined) {
      const status = parseStatusMessage(error);
      // The pipelines of an older member do not have this command.
      if (status.code === Code.UNIMPLEMENTED && status.reason === '') return null;
      if (status.reason === 'SHUTTING_DOWN') pipeline.leave();
      return err(failureOf(status, address, error));
    }
    try {
      const answer = Buffer.from(response.buffer, response.byteOffset, response.byteLength);
      return ok((responseDeserialize as (bytes: Buffer) => MessageShape<O>)(answer));
    } catch (why) {
      return err(toFailure(why, address));
    }
  }

  #pipeline(address: string, client: Client): Pipeline {
    const existing = this.#pipelines.get(address);
    if (existing !== undefined) return existing;
    const { path, requestSerialize, responseDeserialize } = methodDefinition(PipelineService.method.execute);
    const open = (): PipelineStream =>
      client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    const onUnread = (retryAfterMs: number | null): void =>
      void this.#without.set(address, performance.now() + (retryAfterMs ?? NO_PIPELINE_MS));
    const roomAside = (): number => ASIDE_MAX - (this.#unary.get(address) ?? 0);
    const pipeline = new Pipeline(open, onUnread, roomAside);
    this.#pipelines.set(address, pipeline);
    return pipeline;
  }

  /** Opens a stream of answers. Errors after that come from the stream itself; see {@link toFailure}. */
  async stream<I extends DescMessage, O extends DescMessage>(
    address: string,
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): Promise<Result<ClientReadableStream<MessageShape<O>>, Failure>> {
    const connected = await this.#connect(address, CONNECT_MS, signal);
    if (!connected.ok) return connected;
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const stream = connected.value.makeServerStreamRequest(
      path,
      requestSerialize as (message: MessageShape<I>) => Buffer,
      responseDeserialize as (bytes: Buffer) => MessageShape<O>,
      create(method.input, request),
      new Metadata(),
    );
    this.#calls.add(stream);
    stream.once('close', () => this.#calls.delete(stream));
    return ok(stream);
  }

  /** Calls under way fail. */
  close(): void {
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    for (const pipeline of this.#pipelines.values()) pipeline.close();
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  /** A connection that is ready, so that what fails before it certainly never reached a member. */
  async #connect(address: string, timeoutMs: number, signal?: AbortSignal): Promise<Result<Client, Failure>> {
    if (this.#closed) return err(unreached(address, 'this client is closed'));
    const client = this.#client(address);
    const channel = client.getChannel();
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      if (signal?.aborted === true) return err(unreached(address, 'the call was given up'));
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return ok(client);
      if (state === connectivityState.TRANSIENT_FAILURE) return err(unreached(address, 'no connection'));
      if (state === connectivityState.SHUTDOWN) return err(unreached(address, 'this client is closed'));
      const changed = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, endMs, (error) => resolve(error === undefined || error === null));
      });
      if (!changed) return err(unreached(address, `no connection within ${timeoutMs} ms`));
    }
  }

  #client(address: string): Client {
    const existing = this.#clients.get(address);
    if (existing !== undefined) return existing;
    const client = new Client(address, credentials.createInsecure(), OPTIONS);
    this.#clients.set(address, client);
    return client;
  }
}
