/** Compensators behind gRPC (L2): `quorate.v1.CompensatorService`, which users implement. */
import { create } from '@bufbuild/protobuf';
import { type ChannelCredentials, Client, status as Code, credentials, Metadata } from '@grpc/grpc-js';
import { CompensateRequestSchema, CompensatorService } from '../gen/quorate/v1/compensator_pb.ts';
import { methodDefinition } from '../rpc/service.ts';
import { parseStatus } from '../rpc/status.ts';
import { isAddress } from '../types/address.ts';
import { ANSWER_BYTES_MAX, type CallOutcome, type CompensationCall, failed, type Hook } from './hook.ts';
import type { HookTls } from './http-post.ts';

/** Connections that are kept; the one that was not used for the longest time goes. */
const CHANNELS_MAX = 64;

const OPTIONS = {
  'grpc.enable_http_proxy': 0,
  // A try is a try: the ledger counts them.
  'grpc.enable_retries': 0,
  'grpc.max_receive_message_length': ANSWER_BYTES_MAX,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
} as const;

const METHOD = methodDefinition(CompensatorService.method.compensate);

export class GrpcHook implements Hook {
  readonly #credentials: ChannelCredentials;
  /** Least recently used first. */
  readonly #clients = new Map<string, { readonly client: Client; calls: number }>();

  /** null: connections are not encrypted. */
  constructor(tls: HookTls | null) {
    this.#credentials =
      tls === null
        ? credentials.createInsecure()
        : credentials.createSsl(tls.ca, tls.identity?.key ?? null, tls.identity?.cert ?? null);
  }

  async call(call: CompensationCall, signal: AbortSignal): Promise<CallOutcome> {
    if (!isAddress(call.target)) return failed(`not host:port: ${call.target}`);
    if (signal.aborted) return failed('the call was given up: the member stops');
    const entry = this.#take(call.target);
    entry.calls++;
    try {
      return await compensate(entry.client, call, signal);
    } finally {
      entry.calls--;
    }
  }

  close(): void {
    for (const { client } of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #take(target: string): { readonly client: Client; calls: number } {
    const known = this.#clients.get(target);
    const entry = known ?? { client: new Client(target, this.#credentials, OPTIONS), calls: 0 };
    this.#clients.delete(target);
    this.#clients.set(target, entry);
    for (const [other, { client, calls }] of this.#clients) {
      if (this.#clients.size <= CHANNELS_MAX) break;
      if (calls > 0 || other === target) continue;
      client.close();
      this.#clients.delete(other);
    }
    return entry;
  }
}

function compensate(client: Client, call: CompensationCall, signal: AbortSignal): Promise<CallOutcome> {
  return new Promise((resolve) => {
    const request = create(CompensateRequestSchema, {
      key: call.key,
      token: BigInt(call.token),
      attempt: call.attempt,
      deadlineMs: BigInt(call.deadlineMs),
      confirmed: call.confirmed,
      loop: call.loop,
      g: BigInt(call.g),
      phase: call.phase,
      traceId: call.traceId,
      payload: call.payload,
    });
    const onAbort = (): void => sent.cancel();
    const sent = client.makeUnaryRequest(
      METHOD.path,
      METHOD.requestSerialize,
      METHOD.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + call.deadlineMs },
      (error, response) => {
        signal.removeEventListener('abort', onAbort);
        if (error !== null) resolve(failed(failureText(error)));
        else resolve(response?.stale === true ? { kind: 'stale' } : { kind: 'done' });
      },
    );
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

function failureText(error: unknown): string {
  const { code, message } = parseStatus(error);
  return `${Code[code]}: ${message}`;
}
