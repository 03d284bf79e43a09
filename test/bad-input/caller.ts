/** Calls that send bytes as they are, and what came back. */
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import { Client, status as Code, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import { GetStatusResponseSchema, type StreamStatus } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { methodPath } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';

const DEADLINE_MS = 10_000;
const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

export type Answer = { readonly ok: true; readonly bytes: Uint8Array } | ({ readonly ok: false } & ParsedStatus);

export class RawCaller {
  readonly #client: Client;

  constructor(address: string) {
    // What this side would refuse to send or to take is not the question.
    const options = {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
      'grpc.max_receive_message_length': -1,
    };
    this.#client = new Client(address, credentials.createInsecure(), options);
  }

  close(): void {
    this.#client.close();
  }

  /** A unary call, or the first answer of a stream. */
  call(method: DescMethod, request: Uint8Array, metadata?: Metadata): Promise<Answer> {
    if (method.methodKind === 'server_streaming') return this.stream(methodPath(method), request);
    return this.unary(methodPath(method), request, metadata);
  }

  unary(path: string, request: Uint8Array, metadata?: Metadata): Promise<Answer> {
    const deadline = new Date(Date.now() + DEADLINE_MS);
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, bytes?: Buffer): void => {
        if (error === null) resolve({ ok: true, bytes: bytes ?? new Uint8Array() });
        else resolve({ ok: false, ...parseStatus(error) });
      };
      if (metadata === undefined) this.#client.makeUnaryRequest(path, identity, identity, request, { deadline }, done);
      else this.#client.makeUnaryRequest(path, identity, identity, request, metadata, { deadline }, done);
    });
  }

  stream(path: string, request: Uint8Array): Promise<Answer> {
    const deadline = new Date(Date.now() + DEADLINE_MS);
    const call = this.#client.makeServerStreamRequest(path, identity, identity, request, { deadline });
    return new Promise((resolve) => {
      call.once('data', (bytes: Buffer) => {
        resolve({ ok: true, bytes });
        call.cancel();
      });
      // The later ones, of the cancellation, change nothing.
      call.on('error', (error) => resolve({ ok: false, ...parseStatus(error) }));
      call.once('end', () => resolve({ ok: true, bytes: new Uint8Array() }));
    });
  }

  /** Sends all of `requests` on one stream of both directions, ends it, and gives its status. */
  exchange(path: string, requests: readonly Uint8Array[]): Promise<Answer> {
    const deadline = new Date(Date.now() + DEADLINE_MS);
    const call = this.#client.makeBidiStreamRequest(path, identity, identity, { deadline });
    return new Promise((resolve) => {
      call.on('data', () => undefined);
      call.on('error', (error) => resolve({ ok: false, ...parseStatus(error) }));
      call.once('end', () => resolve({ ok: true, bytes: new Uint8Array() }));
      for (const request of requests) call.write(request);
      call.end();
    });
  }

  /** What the member says of its data stream. */
  async status(): Promise<StreamStatus> {
    const answer = await this.unary('/quorate.v1.ClusterService/GetStatus', new Uint8Array());
    const [stream] = decoded(answer, GetStatusResponseSchema).streams;
    if (stream === undefined) throw new Error('the status names a stream');
    return stream;
  }
}

export function decoded<Desc extends DescMessage>(answer: Answer, desc: Desc): MessageShape<Desc> {
  if (!answer.ok) throw new Error(`${Code[answer.code]} ${answer.reason}: ${answer.message}`);
  return fromBinary(desc, answer.bytes);
}

/** For messages of tests: what came back, on one line. */
export function shown(answer: Answer): string {
  return answer.ok
    ? `accepted (${answer.bytes.length} bytes)`
    : `${Code[answer.code]} ${answer.reason}: ${answer.message}`;
}
