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
import { methodDefinition } from '../rpc/service.ts';
import { parseStatus } from '../rpc/status.ts';
import { CLIENT_MESSAGE_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { isQuorateReason, QuorateError } from './errors.ts';
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

/** What an error of a call means. */
export function toFailure(error: unknown, address: string): Failure {
  const { code, message, reason, metadata, retryAfterMs } = parseStatus(error);
  const known = isQuorateReason(reason);
  const details = known || reason === '' ? metadata : { ...metadata, reason };
  if (reason === 'INDETERMINATE' || (reason === '' && !DEFINITE.has(code))) {
    const text = reason === '' ? `${address}: ${Code[code]}: ${message}` : message;
    const unknown = new QuorateError({ reason: 'UNAVAILABLE', message: text, details, retryAfterMs, cause: error });
    return { kind: 'unknown', error: unknown, answered: reason !== '' };
  }
  const fields = { reason: known ? reason : 'UNKNOWN', message, details, retryAfterMs, cause: error } as const;
  return { kind: 'refused', error: new QuorateError(fields), leaderAddress: metadata.leader_address || null };
}

function unreached(address: string, why: string): Failure {
  const message = `${address}: ${why}; check that the member runs and that the address is right`;
  return { kind: 'refused', error: new QuorateError({ reason: 'UNAVAILABLE', message }), leaderAddress: null };
}

export class Channels {
  readonly #clients = new Map<string, Client>();
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
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<Result<MessageShape<O>, Failure>> {
    const startedMs = performance.now();
    const connected = await this.#connect(address, Math.min(CONNECT_MS, deadlineMs), signal);
    if (!connected.ok) return connected;
    const leftMs = deadlineMs - (performance.now() - startedMs);
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve) => {
      const call = connected.value.makeUnaryRequest(
        path,
        requestSerialize as (message: MessageShape<I>) => Buffer,
        responseDeserialize as (bytes: Buffer) => MessageShape<O>,
        create(method.input, request),
        new Metadata(),
        { deadline: Date.now() + leftMs },
        (error, response) => {
          this.#calls.delete(call);
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
