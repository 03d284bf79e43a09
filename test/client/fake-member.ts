/** A scripted member: a real gRPC server whose answers each test decides. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { AvailabilityService } from '../../src/gen/quorate/v1/availability_pb.ts';
import { ClusterService, type GetStatusResponseSchema } from '../../src/gen/quorate/v1/cluster_pb.ts';
import type { RequestHeader } from '../../src/gen/quorate/v1/common_pb.ts';
import { DocumentService } from '../../src/gen/quorate/v1/document_pb.ts';
import { IssueService } from '../../src/gen/quorate/v1/issue_pb.ts';
import {
  type BackupResponse,
  BackupResponseSchema,
  MaintenanceService,
} from '../../src/gen/quorate/v1/maintenance_pb.ts';
import { MembershipService } from '../../src/gen/quorate/v1/membership_pb.ts';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import { type ExecuteRequest, type ExecuteResponse, PipelineService } from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { PolicyService } from '../../src/gen/quorate/v1/policy_pb.ts';
import { RecoveryService } from '../../src/gen/quorate/v1/recovery_pb.ts';
import { SessionService } from '../../src/gen/quorate/v1/session_pb.ts';
import {
  type WatchRequest,
  type WatchResponse,
  WatchResponseSchema,
  WatchService,
} from '../../src/gen/quorate/v1/watch_pb.ts';
import { typedDefinition } from '../../src/rpc/service.ts';
import { type StatusInit, statusError } from '../../src/rpc/status.ts';

/** What a member answers: a message, an error, a cut connection, or nothing at all. */
export type Answer =
  | { readonly kind: 'message'; readonly init: object }
  | { readonly kind: 'error'; readonly status: StatusInit }
  | { readonly kind: 'cut' }
  | { readonly kind: 'silence' };

export interface Received {
  readonly method: string;
  readonly header: RequestHeader | undefined;
  readonly request: unknown;
}

type BackupStream = ServerWritableStream<unknown, BackupResponse>;
export type PipelineStream = ServerDuplexStream<ExecuteRequest, ExecuteResponse>;
type WatchStream = ServerWritableStream<WatchRequest, WatchResponse>;

export const message = (init: object = {}): Answer => ({ kind: 'message', init });
export const refusal = (status: StatusInit): Answer => ({ kind: 'error', status });
export const CUT: Answer = { kind: 'cut' };
export const SILENCE: Answer = { kind: 'silence' };

export class FakeMember {
  readonly received: Received[] = [];
  readonly watches: { readonly request: WatchRequest; readonly stream: WatchStream }[] = [];
  /** Answers in turn; the last one stays. By method name such as `beginPhase`. */
  readonly #scripts = new Map<string, Answer[]>();
  #leaderAddress = '';
  #server: Server | null = null;
  #port = 0;
  backups = 0;
  #onBackup: (stream: BackupStream) => void = () => undefined;
  #onWatch: (stream: WatchStream, request: WatchRequest) => void = () => undefined;
  #onPipeline: ((stream: PipelineStream) => void) | null = null;
  /** Answers of loops wait for it. */
  gate: Promise<void> = Promise.resolve();

  /** Has pipelines where this is given. */
  static async start(onPipeline: ((stream: PipelineStream) => void) | null = null): Promise<FakeMember> {
    const member = new FakeMember();
    member.#onPipeline = onPipeline;
    await member.listen();
    return member;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens, on the same port as before. */
  async listen(): Promise<void> {
    const server = new Server();
    for (const service of [
      PhaseService,
      DocumentService,
      SessionService,
      ClusterService,
      MembershipService,
      AvailabilityService,
      RecoveryService,
      IssueService,
      PolicyService,
    ]) {
      const definition = typedDefinition(service as typeof PhaseService);
      server.addService(
        definition as never,
        Object.fromEntries(service.methods.map((method) => [method.localName, this.#handler(method)])) as never,
      );
    }
    const watch = (stream: WatchStream): void => {
      this.watches.push({ request: stream.request, stream });
      this.#onWatch(stream, stream.request);
    };
    server.addService(typedDefinition(WatchService), { watch });
    if (this.#onPipeline !== null)
      server.addService(typedDefinition(PipelineService), { execute: this.#onPipeline } as never);
    const { getFeatureLevel, setFeatureLevel } = MaintenanceService.method;
    server.addService(typedDefinition(MaintenanceService), {
      getFeatureLevel: this.#handler(getFeatureLevel),
      setFeatureLevel: this.#handler(setFeatureLevel),
      backup: (stream: BackupStream) => {
        this.backups += 1;
        this.#onBackup(stream);
      },
    } as never);
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
    this.#server = server;
  }

  /** Cuts all connections, like a killed process. */
  crash(): void {
    this.#server?.forceShutdown();
    this.#server = null;
  }

  script(method: string, ...answers: Answer[]): void {
    this.#scripts.set(method, answers);
  }

  onWatch(handler: (stream: WatchStream, request: WatchRequest) => void): void {
    this.#onWatch = handler;
  }

  onBackup(handler: (stream: BackupStream) => void): void {
    this.#onBackup = handler;
  }

  /** What GetStatus says of the leader; '' for none. */
  leads(address: string): void {
    this.#leaderAddress = address;
  }

  requests(method: string): readonly Received[] {
    return this.received.filter((one) => one.method === method);
  }

  #handler(
    method: { readonly localName: string; readonly output: never } | { localName: string; output: unknown },
  ): UntypedHandleCall {
    const { localName, output } = method as { localName: string; output: typeof GetStatusResponseSchema };
    return ((call: { request: { header?: RequestHeader } }, callback: (error: unknown, value?: unknown) => void) => {
      const { request } = call;
      this.received.push({ method: localName, header: request.header, request });
      const answer = this.#next(localName);
      switch (answer.kind) {
        case 'message':
          void (localName === 'createLoop' ? this.gate : Promise.resolve()).then(() =>
            callback(null, create(output, answer.init as MessageInitShape<typeof output>)),
          );
          return;
        case 'error':
          callback(statusError(answer.status));
          return;
        case 'cut':
          this.crash();
          void this.listen();
          return;
        case 'silence':
          return;
      }
    }) as UntypedHandleCall;
  }

  #next(method: string): Answer {
    const script = this.#scripts.get(method) ?? [];
    const answer = script.length > 1 ? script.shift() : script[0];
    if (answer !== undefined) return answer;
    if (method === 'getStatus') {
      const leaderClientAddress = this.#leaderAddress;
      return message({ clusterId: 'c', memberId: 'm', streams: [{ streamId: 1, leaderClientAddress }] });
    }
    if (method === 'openSession') return message({ header: { revision: 1n }, sessionId: 7n, ttlMs: 60_000n });
    return message({ header: { revision: 2n } });
  }
}

/** The first message of a backup, and the others with the bytes of the file. */
export function backupMessage(data?: Uint8Array): BackupResponse {
  if (data !== undefined) return create(BackupResponseSchema, { data });
  return create(BackupResponseSchema, {
    info: { clusterId: 'c', memberId: 'm', index: 41n, term: 5n, estimatedBytes: 99n },
  });
}

/** A watch message with one event for each revision given. */
export function watchMessage(revision: number, ...revisions: number[]): WatchResponse {
  const events = revisions.map((r) => ({ revision: BigInt(r), ordinal: 0, kind: 'loop.created', loop: `l${r}` }));
  return create(WatchResponseSchema, { revision: BigInt(revision), events });
}
