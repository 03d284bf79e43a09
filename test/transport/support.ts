/** Members with a real peer port on loopback. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type Logger, pino } from 'pino';
import type { Envelope } from '../../src/node/types.ts';
import type { Entry, Message } from '../../src/raft/types.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import type { PeerIdentity } from '../../src/transport/hello.ts';
import type { TransportLimits } from '../../src/transport/options.ts';
import { PeerTransport } from '../../src/transport/peer-transport.ts';
import { must } from '../../src/types/assert.ts';
import { clusterId, DATA_STREAM, logIndex, type MemberId, memberId, term } from '../../src/types/ids.ts';
import { SNAPSHOT_CHUNK_BYTES } from '../../src/types/limits.ts';
import { err, ok } from '../../src/types/result.ts';

/** Short waits, so that a reconnect takes milliseconds. */
export const FAST: Partial<TransportLimits> = { reconnectMinMs: 5, reconnectMaxMs: 50, helloTimeoutMs: 500 };

export interface Received {
  readonly from: MemberId;
  readonly envelope: Envelope;
}

export interface LogLine {
  readonly msg: string;
  readonly why?: string;
  readonly suppressed?: number;
}

export interface TestMember {
  readonly id: MemberId;
  readonly port: number;
  readonly transport: PeerTransport;
  readonly received: Received[];
  readonly unreachable: MemberId[];
  readonly log: LogLine[];
  stop(): Promise<void>;
}

export function bind(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

export function captureLogger(lines: LogLine[]): Logger {
  return pino({ base: null }, { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) });
}

/** A free port that nobody listens on (any more). */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return must(port, 'a port');
}

export interface MemberInit {
  readonly id: string;
  readonly port: number;
  readonly peers: Readonly<Record<string, number>>;
  readonly cluster?: string;
  readonly limits?: Partial<TransportLimits>;
  /** What differs from {@link identityOf}. */
  readonly identity?: Partial<PeerIdentity>;
  /** Whom it lets in; default: those in `peers`. */
  readonly admits?: readonly string[];
  readonly onRemoved?: (by: MemberId, why: string) => void;
  readonly onReceive?: (received: Received) => void;
  readonly onUnreachable?: (peer: MemberId) => void;
}

/** Admits those whom a member knows, as the server does. */
function knows(init: MemberInit): Pick<PeerIdentity, 'admit'> {
  const known = new Set(init.admits ?? Object.keys(init.peers));
  return {
    admit: async ({ from }) =>
      known.has(from) ? ok(undefined) : err({ reason: 'UNKNOWN_MEMBER', message: `${from} is no member` }),
  };
}

/** Of a member that has its first data folder; it admits everybody. */
export function identityOf(id: string): PeerIdentity {
  const incarnation = Buffer.from(id).toString('hex').padStart(32, '0');
  return {
    incarnation,
    membersDigest: 'abc',
    peerAddress: '',
    clientAddress: '',
    featureLevel: 2,
    version: '9.9.9',
    joining: () => false,
    admit: async () => ok(undefined),
  };
}

export async function startMember(init: MemberInit): Promise<TestMember> {
  const received: Received[] = [];
  const unreachable: MemberId[] = [];
  const log: LogLine[] = [];
  const transport = new PeerTransport({
    clusterId: clusterId(init.cluster ?? 'test'),
    memberId: memberId(init.id),
    peers: new Map(Object.entries(init.peers).map(([id, port]) => [memberId(id), `127.0.0.1:${port}`])),
    handler: {
      receive: (from, envelope) => {
        received.push({ from, envelope });
        init.onReceive?.({ from, envelope });
      },
      unreachable: (peer) => {
        unreachable.push(peer);
        init.onUnreachable?.(peer);
      },
    },
    logger: captureLogger(log),
    identity: { ...identityOf(init.id), ...knows(init), ...init.identity },
    ...(init.onRemoved === undefined ? {} : { onRemoved: init.onRemoved }),
    limits: { ...FAST, ...init.limits },
  });
  const server = new Server();
  transport.addTo(server);
  const port = await bind(server, init.port);
  transport.start();
  const stop = async (): Promise<void> => {
    transport.stop();
    server.forceShutdown();
  };
  return { id: memberId(init.id), port, transport, received, unreachable, log, stop };
}

/** A message that carries a number, to tell it from others. */
export function heartbeat(from: MemberId, to: MemberId, readSequence: number): Envelope {
  const message: Message = {
    kind: 'heartbeatRequest',
    from,
    to,
    term: term(1),
    leaderCommit: logIndex(0),
    readSequence,
    sentMs: 0,
  };
  return { kind: 'raft', stream: DATA_STREAM, message };
}

export function append(from: MemberId, to: MemberId, payloads: readonly Uint8Array[]): Envelope {
  const entries: Entry[] = payloads.map((payload, i) => ({
    index: logIndex(i + 1),
    term: term(1),
    kind: 'command',
    payload,
  }));
  const message: Message = {
    kind: 'appendRequest',
    from,
    to,
    term: term(1),
    prevLogIndex: logIndex(0),
    prevLogTerm: term(0),
    entries,
    leaderCommit: logIndex(0),
  };
  return { kind: 'raft', stream: DATA_STREAM, message };
}

/** One piece of an image. */
export function chunk(sequence: number, bytes = SNAPSHOT_CHUNK_BYTES): Envelope {
  const configuration = {
    index: logIndex(0),
    configuration: { voters: [memberId('a'), memberId('b')], votersOutgoing: [], learners: [] },
  };
  const mark = { index: logIndex(9), term: term(1), configuration };
  const data = new Uint8Array(bytes);
  return {
    kind: 'snapshotChunk',
    stream: DATA_STREAM,
    transferId: 1,
    term: term(1),
    mark,
    sequence,
    last: false,
    data,
  };
}

/** The numbers of the heartbeats that arrived, in order. */
export function sequences(member: TestMember): number[] {
  return member.received.flatMap(({ envelope }) =>
    envelope.kind === 'raft' && envelope.message.kind === 'heartbeatRequest' ? [envelope.message.readSequence] : [],
  );
}

export function connected(member: TestMember, peer: MemberId): boolean {
  return must(
    member.transport.status().find((link) => link.peer === peer),
    'a link to the peer',
  ).connected;
}
