/** Composition root: turns a configuration into a running member. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { IoUsage } from '../api/context.ts';
import { serverOptions } from '../api/options.ts';
import { createApi } from '../api/server.ts';
import type { HttpRequest } from '../http/server.ts';
import { StateError } from '../machine/loader.ts';
import { Member } from '../node/member.ts';
import { DEFAULT_MEMBER_SETTINGS, type MemberDeps, type MemberSettings } from '../node/options.ts';
import type { Envelope } from '../node/types.ts';
import type { NetworkHandler } from '../ports/network.ts';
import { identifyPeer } from '../transport/identify.ts';
import { PeerTransport } from '../transport/peer-transport.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { NodeDisk } from '../wal/node-disk.ts';
import { availabilityParts } from './availability.ts';
import { bindHint } from './bind-hint.ts';
import type { ServerConfig } from './config.ts';
import { CoreTrace } from './core-trace.ts';
import { takeDataFolder } from './data-folder.ts';
import { refuseDiverged, writeDiverged } from './diverged.ts';
import { Ending } from './ending.ts';
import { limitHeapGrowth, trimHeap } from './heap.ts';
import { MemberIdentity } from './identity.ts';
import { IoMeter } from './io-meter.ts';
import { strangersListed } from './members.ts';
import { logNotice } from './notices.ts';
import { Observed } from './observed.ts';
import { type OpenedData, openData } from './open-data.ts';
import { type Outside, openOutside } from './outside.ts';
import { PeerDirectory } from './peer-directory.ts';
import { Resources } from './resources.ts';
import { systemClock, systemRandom } from './system-ports.ts';
import { VERSION } from './version.ts';

/** How often the health service looks at the member, milliseconds. */
const HEALTH_PERIOD_MS = 100;
/** How long calls in flight may take to end when the member stops, milliseconds. */
const DRAIN_MS = 2_000;
/** A peer that was removed is reached for so long: its leader needs ten election timeouts of up to two times the setting. */
const LINGER_ELECTION_TIMEOUTS = 20;

export interface RunningServer {
  readonly member: Member;
  /**
   * Resolves with the reason when the member ends by itself; never otherwise. The caller stops it and exits. A
   * `MemberRemovedError`: it was removed from the cluster, and all is well.
   */
  readonly failed: Promise<Error>;
  /** Hands leadership over, answers who waits, flushes and closes everything. Idempotent. */
  stop(): Promise<void>;
}

/** Rejects with an error whose message says what to do; everything opened so far is closed again. */
export async function startServer(config: ServerConfig, logger: Logger): Promise<RunningServer> {
  limitHeapGrowth();
  try {
    return await attempt(config, logger, null);
  } catch (error) {
    const problem = storeProblemOf(error);
    if (problem === null) throw error;
    // The tables can be read and are wrong all the same: that is damage, too, and is mended in the same way (W4).
    return await attempt(config, logger, problem);
  }
}

async function attempt(config: ServerConfig, logger: Logger, storeProblem: Error | null): Promise<RunningServer> {
  const resources = new Resources();
  try {
    return await start(config, logger, resources, storeProblem);
  } catch (error) {
    await resources.close();
    throw error;
  }
}

/** What is wrong with the tables, when that is why the member did not start. */
function storeProblemOf(error: unknown): Error | null {
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof StateError ? cause : null;
}

async function start(
  config: ServerConfig,
  logger: Logger,
  resources: Resources,
  storeProblem: Error | null,
): Promise<RunningServer> {
  const lock = await takeDataFolder(config.dataDir);
  resources.add(() => lock.release());
  const { clusterId, memberId, dataDir } = config;
  const root = new NodeDisk(dataDir);
  // Before anything else: also a folder of which a part was taken away is told what became of it.
  await refuseDiverged(root, { clusterId, memberId });
  const identity = await MemberIdentity.open(root, { clusterId, memberId });
  resources.add(() => identity.close());
  const observed = await Observed.open(config, logger);
  resources.add(() => observed.close());
  const meter = new IoMeter(undefined, observed.metrics);
  const data = await openData(config, logger, identity, storeProblem, meter);
  resources.add(() => data.close());
  let member: Member | null = null;
  const directory = openDirectory(config, identity, data, { logger, member: () => member });
  resources.add(async () => directory.close());

  const keepDigest = (): void => {
    if (data.digest !== null) void ending.orFail(identity.keepMembersDigest(data.digest));
  };
  const ending = new Ending(identity, logger, (error) => writeDiverged(root, error, Date.now()));
  const handler: NetworkHandler<Envelope> = {
    receive: (from, envelope) => member?.receive(from, envelope),
    unreachable: (peer) => member?.unreachable(peer),
  };
  const transport = createTransport(config, logger, { handler, identity, directory, ending, data });
  resources.add(async () => transport.stop());
  directory.onPeers = (peers) => transport.setPeers(peers);
  directory.onUnwanted = (peer) => transport.drop(peer);
  const availability = availabilityParts(data, () => member);
  const outside = await openOutside(config, logger, resources);
  const opened = await openMember(dataDir, {
    ...memberParts(config, data, transport),
    ...tracePart(config, resources),
    ...memberEvents(logger, { directory, ending, data, keepDigest, observed }),
    ...availability.deps,
    leaderWorks: () => [...observed.works, availability.work(), ...outside.works()],
    onApplied: (_stream, entry, view, applied) => {
      meter.applied(entry);
      observed.metrics.applied(entry.index, view, applied);
    },
  });
  // Release 0.1 cannot read an identity with a digest, so an older folder gets it only once there is no way back.
  if (!identity.bootstrapped || opened.status(DATA_STREAM).featureLevel >= 2) keepDigest();
  await identity.markBootstrapped();
  member = opened;
  resources.add(() => opened.stop());
  await serve(config, logger, { member: opened, transport, meter, outside, observed }, resources);
  trimHeap();
  // The member first: it says who belongs to the cluster before anybody is let in.
  opened.start();
  transport.start();
  const strangers = strangersListed(
    config.members.map(({ id }) => id),
    directory.known,
  );
  if (strangers !== null) logger.warn(strangers);
  const { clientListen: client, peerListen: peer } = config;
  logger.info({ clusterId, memberId, client, peer, joining: directory.joining }, 'member started');
  return { member: opened, failed: ending.failed, stop: () => resources.close() };
}

/** What the member is made of. */
function memberParts(config: ServerConfig, data: OpenedData, transport: PeerTransport): Omit<MemberDeps, 'onFatal'> {
  const { clusterId, memberId, featureLevelMax } = config;
  return {
    clusterId,
    memberId,
    initialConfiguration: data.first,
    recovering: data.recovering,
    featureLevelMax,
    peerFeatureLevels: () => transport.featureLevels(),
    streams: [DATA_STREAM],
    clock: systemClock,
    random: systemRandom,
    wal: data.wal,
    store: data.store,
    network: transport,
    settings: memberSettings(config),
  };
}

/** Without a folder the core has no trace sink at all. */
function tracePart({ trace, memberId }: ServerConfig, resources: Resources): Pick<MemberDeps, 'onTrace'> {
  const { folder, bytesMax } = trace;
  if (folder === undefined) return {};
  const sink = new CoreTrace({ folder, bytesMax, memberId, nowMs: () => systemClock.wallMs() });
  resources.add(async () => sink.close());
  return { onTrace: (stream, event) => sink.event(stream, event) };
}

interface EventParts {
  readonly directory: PeerDirectory;
  readonly ending: Ending;
  readonly data: OpenedData;
  /** Writes down with whom the cluster was begun, if this folder knows. */
  readonly keepDigest: () => void;
  readonly observed: Observed;
}

/** What the member tells the rest of the process. */
function memberEvents(
  logger: Logger,
  { directory, ending, data, keepDigest, observed }: EventParts,
): Pick<MemberDeps, 'onFatal' | 'onRecovered' | 'onMembers' | 'onRemoved' | 'onNotice' | 'onRole'> {
  return {
    onFatal: (error) => {
      logger.fatal({ err: error }, 'the member cannot go on and stops; its data is kept');
      ending.fail(error);
    },
    onRecovered: data.recovered,
    onMembers: (rows, placed) => {
      directory.update(rows, placed);
      if (placed.index > 0) keepDigest();
    },
    onRemoved: () => ending.removed('the configuration without it is committed'),
    onNotice: (notice) => {
      logNotice(logger, notice);
      observed.metrics.notice(notice);
      if (notice.kind === 'featureLevel' && notice.level >= 2) keepDigest();
    },
    onRole: (stream, { role, term, leader }) => {
      logger.info({ stream, role, term, leader }, 'role changed');
      observed.metrics.role(leader);
    },
  };
}

function openDirectory(
  config: ServerConfig,
  identity: MemberIdentity,
  data: OpenedData,
  { logger, member }: { readonly logger: Logger; readonly member: () => Member | null },
): PeerDirectory {
  const { clusterId, memberId, members, raft } = config;
  return new PeerDirectory({
    clusterId,
    memberId,
    listed: members,
    configuration: data.known.configuration,
    admitFirst: (peer, incarnation, current) => identity.admit(peer, incarnation, current),
    clusterDigest: () => clusterDigestOf(identity, data),
    learnDigest: (digest) => {
      // A disk that is full now: whoever says hello next says it again.
      identity.learnClusterDigest(digest).catch((error: unknown) => {
        logger.warn({ err: error }, 'cannot write down with whom the cluster was begun; tried again later');
      });
    },
    leader: () => member()?.status(DATA_STREAM).raft.leader ?? null,
    hasLog: () => data.recovering || (member()?.status(DATA_STREAM).raft.lastIndex ?? 0) > 0,
    firstMet: (peer) => identity.firstMet(peer),
    lingerMs: LINGER_ELECTION_TIMEOUTS * raft.electionTicks * raft.tickMs,
  });
}

/** What the folder says, or the log of one that does not say it yet. The log of a member that joined says nothing of it. */
function clusterDigestOf({ clusterDigest, membersDigest }: MemberIdentity, data: OpenedData): string {
  return clusterDigest !== '' || membersDigest !== null ? clusterDigest : (data.digest ?? '');
}

interface TransportParts {
  readonly handler: NetworkHandler<Envelope>;
  readonly identity: MemberIdentity;
  readonly directory: PeerDirectory;
  readonly ending: Ending;
  readonly data: OpenedData;
}

function createTransport(config: ServerConfig, logger: Logger, parts: TransportParts): PeerTransport {
  const { clusterId, memberId, members, featureLevelMax } = config;
  const { handler, identity, directory, ending, data } = parts;
  const self = members.find(({ id }) => id === memberId);
  return new PeerTransport({
    clusterId,
    memberId,
    peers: directory.peers,
    identity: {
      incarnation: identity.incarnation,
      get membersDigest() {
        return clusterDigestOf(identity, data);
      },
      peerAddress: self?.peerAddress ?? '',
      clientAddress: self?.clientAddress ?? '',
      featureLevel: featureLevelMax,
      version: VERSION,
      // Who has lost everything waits as well, but not to be added.
      joining: () => directory.joining && !data.recovering,
      admit: (greeting) => directory.admit(greeting),
    },
    handler,
    onRemoved: (by, why) => {
      // Somebody whom this member does not count cannot know; and who waits to join was never a member.
      if (directory.canTell(by)) ending.removed(`${by} says: ${why}`);
    },
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

interface ServedParts {
  readonly member: Member;
  readonly transport: PeerTransport;
  readonly meter: IoMeter;
  readonly outside: Outside;
  readonly observed: Observed;
}

async function serve(
  config: ServerConfig,
  logger: Logger,
  { member, transport, meter, outside, observed }: ServedParts,
  resources: Resources,
): Promise<void> {
  const peerServer = new Server(serverOptions('peer'));
  transport.addTo(peerServer);
  await bind(peerServer, config.peerListen, 'peerListen');
  resources.add(async () => peerServer.forceShutdown());

  const { clusterId, memberId, members } = config;
  const io = (): IoUsage => meter.usage();
  const { budget, workers, allowList } = outside;
  await observed.serve(member, meter);
  const asked = observed.metrics.measured(member);
  const from = { member: asked, clusterId, memberId, members, identify: identifyPeer, version: VERSION, io, logger };
  const api = createApi({ ...from, budget, workers, allowList, agents: observed.detector });
  const override = ({ params, body }: HttpRequest) => api.override(params.trace_id ?? '', body);
  observed.http.route('POST', '/override/<trace_id>', override, 'a signed decision about recoveries');
  const clientServer = new Server(serverOptions('client'));
  api.addTo(clientServer);
  await bind(clientServer, config.clientListen, 'clientListen');
  resources.add(() => drain(clientServer));
  // Closed in reverse: health says no, leadership and watches move on, pipelines refuse further calls, those under way end, then the rest.
  resources.add(async () => api.retire());
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
  const { raft, limits, wal, storeFlushMs, storeFlushBytes, partitionMs } = config;
  return {
    ...DEFAULT_MEMBER_SETTINGS,
    ...raft,
    ...limits,
    storeFlushMs,
    storeFlushBytes,
    partitionMs,
    logKeepBytes: wal.keepBytes,
    logKeepSlowBytes: wal.keepSlowBytes,
  };
}
