/** Composition root: turns a configuration into a running member. */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { serverOptions } from '../api/options.ts';
import { createApi } from '../api/server.ts';
import { Member } from '../node/member.ts';
import type { MemberDeps, MemberSettings } from '../node/options.ts';
import type { Envelope } from '../node/types.ts';
import type { NetworkHandler } from '../ports/network.ts';
import { openLevelStore } from '../store/level-store.ts';
import { PeerTransport } from '../transport/peer-transport.ts';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import { NodeDisk } from '../wal/node-disk.ts';
import type { WalEvent } from '../wal/types.ts';
import { openWal } from '../wal/wal.ts';
import type { ServerConfig } from './config.ts';
import { takeDataFolder } from './data-folder.ts';
import { MemberIdentity } from './identity.ts';
import { agreedVoters, membersDigest } from './members.ts';
import { Resources } from './resources.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import { VERSION } from './version.ts';

/** How often the health service looks at the member, milliseconds. */
const HEALTH_PERIOD_MS = 100;
/** How long calls in flight may take to end when the member stops, milliseconds. */
const DRAIN_MS = 2_000;

export interface RunningServer {
  readonly member: Member;
  /** Resolves with the reason when the member fails by itself; never otherwise. The caller stops it and exits. */
  readonly failed: Promise<Error>;
  /** Hands leadership over, answers who waits, flushes and closes everything. Idempotent. */
  stop(): Promise<void>;
}

/**
 * By how much the heap may grow over what lives in it before it is collected, percent. V8's own choice on a large machine
 * lets garbage of a loaded leader grow to several times its state (measured: 75 MiB alive in 595 MiB; A5).
 */
const HEAP_GROWING_PERCENT = 50;

/** Rejects with an error whose message says what to do; everything opened so far is closed again. */
export async function startServer(config: ServerConfig, logger: Logger): Promise<RunningServer> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const resources = new Resources();
  try {
    return await start(config, logger, resources);
  } catch (error) {
    await resources.close();
    throw error;
  }
}

async function start(config: ServerConfig, logger: Logger, resources: Resources): Promise<RunningServer> {
  const lock = await takeDataFolder(config.dataDir);
  resources.add(() => lock.release());
  const { clusterId, memberId, dataDir } = config;
  const identity = await MemberIdentity.open(new NodeDisk(dataDir), { clusterId, memberId });
  resources.add(() => identity.close());
  const disk = new NodeDisk(join(dataDir, 'wal'));
  const observe = (event: WalEvent): void => observeWal(event, logger);
  const wal = await openWal(disk, systemClock, { clusterId, memberId, ...config.wal, observe });
  resources.add(() => wal.close());
  identity.checkLog(wal.streams.length > 0);
  const listed = config.members.map(({ id }) => id);
  const voters = agreedVoters(listed, wal.streams, dataDir, identity.unknownToPeers);
  const store = await openLevelStore(join(dataDir, 'store'), { clusterId, memberId });
  resources.add(() => store.close());

  let member: Member | null = null;
  const handler: NetworkHandler<Envelope> = {
    receive: (from, envelope) => member?.receive(from, envelope),
    unreachable: (peer) => member?.unreachable(peer),
  };
  const transport = createTransport(config, logger, handler, identity, voters);
  resources.add(async () => transport.stop());

  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const opened = await openMember(dataDir, {
    clusterId,
    memberId,
    initialConfiguration: { voters, votersOutgoing: [], learners: [] },
    streams: [DATA_STREAM],
    clock: systemClock,
    random: systemRandom,
    wal,
    store,
    network: transport,
    settings: memberSettings(config),
    onFatal: (error) => {
      logger.fatal({ err: error }, 'the member cannot go on and stops; its data is kept');
      fail(error);
    },
    onRole: (stream, { role, term, leader }) => logger.info({ stream, role, term, leader }, 'role changed'),
  });
  await identity.markBootstrapped();
  member = opened;
  resources.add(() => opened.stop());
  await serve(config, logger, opened, transport, resources);
  transport.start();
  opened.start();
  logger.info({ clusterId, memberId, client: config.clientListen, peer: config.peerListen }, 'member started');
  return { member: opened, failed, stop: () => resources.close() };
}

function createTransport(
  config: ServerConfig,
  logger: Logger,
  handler: NetworkHandler<Envelope>,
  identity: MemberIdentity,
  voters: readonly MemberId[],
): PeerTransport {
  const { clusterId, memberId, members } = config;
  const others = members.filter(({ id }) => id !== memberId);
  return new PeerTransport({
    clusterId,
    memberId,
    peers: new Map(others.map(({ id, peerAddress }) => [id, peerAddress])),
    identity: {
      incarnation: identity.incarnation,
      membersDigest: membersDigest(voters),
      admit: (peer, incarnation) => identity.admit(peer, incarnation),
    },
    handler,
    logger,
  });
}

/** What the log and the tables say of each other is checked here: the message names the folder that they are in. */
async function openMember(dataDir: string, deps: MemberDeps): Promise<Member> {
  try {
    return await Member.open(deps);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the folders wal and store in ${dataDir} cannot be used together: ${why}`, { cause: error });
  }
}

async function serve(
  config: ServerConfig,
  logger: Logger,
  member: Member,
  transport: PeerTransport,
  resources: Resources,
): Promise<void> {
  const peerServer = new Server(serverOptions('peer'));
  transport.addTo(peerServer);
  await bind(peerServer, config.peerListen, 'peerListen');
  resources.add(async () => peerServer.forceShutdown());

  const { clusterId, memberId, members } = config;
  const api = createApi({ member, clusterId, memberId, members, version: VERSION, logger });
  const clientServer = new Server(serverOptions('client'));
  api.addTo(clientServer);
  await bind(clientServer, config.clientListen, 'clientListen');
  resources.add(() => drain(clientServer));
  // Closed in reverse: health says no, leadership and watches move on, calls under way end, then the rest.
  resources.add(() => member.retire());

  const health = setInterval(() => {
    const status = member.status(DATA_STREAM);
    api.setServing(status.fault === null && status.raft.leader !== null);
  }, HEALTH_PERIOD_MS);
  resources.add(async () => {
    clearInterval(health);
    api.setServing(false);
  });
}

async function bind(server: Server, address: string, setting: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(new Error(`cannot listen on ${address} (${setting}): ${bindHint(error.message)}`, { cause: error }));
    });
  });
}

function bindHint(message: string): string {
  if (message.includes('EADDRINUSE')) {
    return 'another process uses the port. Stop it (`ss -ltnp` shows it) or choose another port.';
  }
  if (message.includes('EACCES')) return 'the port needs more rights. Choose one above 1023.';
  if (message.includes('EADDRNOTAVAIL') || message.includes('ENOTFOUND')) {
    return 'this machine has no such address. Use one of its own, or 0.0.0.0 for all.';
  }
  return message;
}

/** Lets calls in flight end, for a while; then cuts them off. */
async function drain(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, DRAIN_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function memberSettings(config: ServerConfig): MemberSettings {
  return { ...config.raft, ...config.limits, storeFlushMs: config.storeFlushMs };
}

function observeWal(event: WalEvent, logger: Logger): void {
  if (event.kind === 'tornTail') {
    const { file, offset, bytes, copy } = event;
    const what = 'cut a torn tail off the log: the last write was not finished when it stopped';
    logger.warn({ file, offset, bytes, copy }, `${what}. What was cut is kept in ${copy}`);
  } else if (event.kind === 'shortFile') {
    const { file, bytes, preparedBytes } = event;
    const what =
      'a file of the log is shorter than it was made: check the disk, and whether the data folder was copied';
    logger.warn({ file, bytes, preparedBytes }, `${what} in part`);
  }
}
