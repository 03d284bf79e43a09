/** A cluster of one without a log: the real state machine behind the real client port, for tests of what lies between them. */
import { Server } from '@grpc/grpc-js';
import type { Budget } from '../../src/api/context.ts';
import { serverOptions } from '../../src/api/options.ts';
import { createApi } from '../../src/api/server.ts';
import { QuorateClient } from '../../src/client/client.ts';
import type { MachineView } from '../../src/machine/api.ts';
import type { MutationOutcome, MutationRequest } from '../../src/node/types.ts';
import { clusterId, logIndex, memberId, type StreamId, term } from '../../src/types/ids.ts';
import { Level3 } from '../machine/document-kit.ts';
import { bind, captureLogger } from '../transport/support.ts';
import { FakeMember } from './support.ts';

export class OneMember {
  /** Has a loop called `loop`. */
  readonly bench = new Level3();
  readonly member = new FakeMember();
  readonly mutations: MutationRequest[] = [];
  /** What local reads see, null: the newest. */
  behind: MachineView | null = null;
  reads = 0;
  /** What it says its address is, null: that where it listens. */
  advertised: string | null = null;
  /** Called when a command has been carried out, and not been answered. */
  onMutation: () => void = () => undefined;
  readonly #server = new Server(serverOptions('client'));
  readonly #clients: QuorateClient[] = [];
  #port = 0;

  static async start(budget?: Budget): Promise<OneMember> {
    const one = new OneMember();
    const { bench, member } = one;
    Object.assign(member, {
      local: () => one.behind ?? bench.machine,
      read: async () => {
        one.reads += 1;
        return { kind: 'ready', view: bench.machine };
      },
      mutate: async (_stream: StreamId, request: MutationRequest) => one.#mutate(request),
    });
    const api = createApi({
      member,
      clusterId: clusterId('test'),
      memberId: memberId('a'),
      members: [
        {
          id: memberId('a'),
          get clientAddress() {
            return one.advertised ?? one.address;
          },
          peerAddress: 'a.test:7200',
        },
      ],
      identify: () => Promise.reject(new Error('nobody asks')),
      version: '1.2.3',
      logger: captureLogger([]),
      ...(budget === undefined ? {} : { budget }),
    });
    api.addTo(one.#server);
    one.#port = await bind(one.#server, 0);
    return one;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async connect(): Promise<QuorateClient> {
    const endpoints = [this.advertised ?? this.address];
    const client = await QuorateClient.connect({ endpoints, caller: 'test', deadlineMs: 5_000 });
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    this.#server.forceShutdown();
  }

  #mutate(request: MutationRequest): MutationOutcome {
    this.mutations.push(request);
    const { body, caller, traceId, session } = request;
    const { result, replayed } = this.bench.apply(body, { caller, traceId, ...(session === null ? {} : { session }) });
    if (result === null) throw new Error('a command has a result');
    this.onMutation();
    return { kind: 'applied', index: logIndex(this.bench.machine.appliedIndex), term: term(1), replayed, result };
  }
}

/** The reason that a call is refused for, and the details; fails when it is not. */
export async function refusalOf(
  call: Promise<unknown>,
): Promise<{ readonly reason: string; readonly message: string; readonly details: Readonly<Record<string, string>> }> {
  const error: unknown = await call.then(
    (value) => {
      throw new Error(`not refused: ${JSON.stringify(value)}`);
    },
    (thrown: unknown) => thrown,
  );
  return error as { reason: string; message: string; details: Readonly<Record<string, string>> };
}
