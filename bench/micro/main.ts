/**
 * CPU time and memory of parts of the product, each alone: `node BUNDLE FOLDER [--quick]` prints a JSON object. FOLDER: for the log
 * on a real disk. Medians of many short slices in one process.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { decodeCommand, encodeCommand } from '../../src/codec/command.ts';
import { decodeConfiguration } from '../../src/codec/configuration.ts';
import { fromPeerEnvelope, toPeerEnvelope } from '../../src/codec/envelope.ts';
import { PeerEnvelopeSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import type { Command } from '../../src/machine/types.ts';
import type { Envelope } from '../../src/node/types.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Disk } from '../../src/ports/disk.ts';
import type { Entry } from '../../src/raft/types.ts';
import {
  type ClusterTimeMs,
  clusterId,
  DATA_STREAM,
  type FencingToken,
  logIndex,
  memberId,
  term,
} from '../../src/types/ids.ts';
import { NodeDisk } from '../../src/wal/node-disk.ts';
import { openWal } from '../../src/wal/wal.ts';
import { MicroCluster, progressBody } from './cluster.ts';
import { Cores } from './core.ts';
import { PlainDisk } from './plain-disk.ts';
import { measure, median } from './slices.ts';

const BATCH = 64;
const [folder = '', flag] = process.argv.slice(2);
const SLICES = flag === '--quick' ? 20 : 400;
const [A, B] = [memberId('a'), memberId('b')];
const figures: Record<string, number> = {};

/** Of one operation, when a slice has so many. The first third of the slices is for V8 to compile what is hot. */
async function figure(name: string, operations: number, work: () => unknown): Promise<void> {
  const costs = [];
  for (let n = 0; n < SLICES; n += 1) costs.push(await measure(async () => await work()));
  const warm = costs.slice(Math.floor(SLICES / 3));
  figures[`micro_${name}_us`] = median(warm.map(({ cpuUs }) => cpuUs)) / operations;
  const counted = warm.filter(({ collected }) => !collected);
  if (counted.length > 0) figures[`micro_${name}_bytes`] = median(counted.map(({ bytes }) => bytes)) / operations;
}

function repeat(work: (n: number) => unknown): () => void {
  return () => {
    for (let n = 0; n < BATCH; n += 1) work(n);
  };
}

const command: Command = {
  timeMs: 1_700_000_000_000 as ClusterTimeMs,
  session: null,
  caller: 'bench',
  traceId: '',
  body: progressBody({ loop: 'loop-1', g: 1, phase: 'ANALYZE' }, 1_234 as FencingToken),
};
const payload = encodeCommand(command);

function entriesFrom(first: number): readonly Entry[] {
  return Array.from({ length: BATCH }, (_, n) => ({
    index: logIndex(first + n),
    term: term(1),
    kind: 'command' as const,
    payload,
  }));
}

async function codec(): Promise<void> {
  const header = { from: A, to: B, term: term(1), leaderCommit: logIndex(0), readSequence: 0, sentMs: 0 };
  const previous = { prevLogIndex: logIndex(0), prevLogTerm: term(0) };
  const message = { ...header, ...previous, kind: 'appendRequest' as const, entries: entriesFrom(1) };
  const append: Envelope = { kind: 'raft', stream: DATA_STREAM, message };
  const bytes = toBinary(PeerEnvelopeSchema, toPeerEnvelope(append));
  const read = (): boolean => fromPeerEnvelope(fromBinary(PeerEnvelopeSchema, bytes)).ok;
  if (!decodeCommand(payload).ok || !read()) throw new Error('what was written can be read');
  await figure(
    'codec_command_encode',
    BATCH,
    repeat(() => encodeCommand(command)),
  );
  await figure(
    'codec_command_decode',
    BATCH,
    repeat(() => decodeCommand(payload)),
  );
  await figure('codec_append_entry_encode', BATCH, () => toBinary(PeerEnvelopeSchema, toPeerEnvelope(append)));
  await figure('codec_append_entry_decode', BATCH, read);
}

async function core(): Promise<void> {
  const cores = new Cores();
  await figure('core_entry', BATCH, () => cores.commit(BATCH, payload));
}

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: () => () => undefined,
  defer: (callback) => void setImmediate(callback),
};

async function log(name: string, disk: Disk): Promise<void> {
  const options = { clusterId: clusterId('bench'), memberId: A, segmentBytes: 2 ** 24, compressBytesMin: 1_024 };
  const wal = await openWal(disk, clock, { ...options, decodeConfiguration });
  await wal.bootstrap(DATA_STREAM, { voters: [A], votersOutgoing: [], learners: [] });
  await wal.append({ stream: DATA_STREAM, hardState: { term: term(1), votedFor: A }, entries: [] });
  let next = 1;
  await figure(name, BATCH, () => {
    const entries = entriesFrom(next);
    next += BATCH;
    return wal.append({ stream: DATA_STREAM, hardState: null, entries });
  });
  await wal.close();
}

await codec();
await core();
await log('wal_memory_entry', new PlainDisk());
await log('wal_disk_entry', new NodeDisk(folder));
const cluster = await MicroCluster.open();
await figure('command_three_members', BATCH, () => cluster.run(BATCH));
console.log(JSON.stringify(figures));
process.exit(0);
