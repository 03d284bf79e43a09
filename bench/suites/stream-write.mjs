/**
 * Small writes through the TypeScript client of `dist`: thousands of plain `put` under way at once, which it sends to the leader on one
 * stream, by itself; without a session, and in sessions (each call carried out once; 64 under way in each). Beside it the best that the
 * peer does with unary calls, at any number in flight.
 */
import { pathToFileURL } from 'node:url';
import { writeLoad } from '../lib/loads.mjs';
import { keyOf, VALUE } from '../lib/system.mjs';

const WRITES = 100_000;
const UNDER_WAY = 4_096;
const SESSIONS = 64;
const PEER_SHAPES = ['8x32', '16x64', '32x64'];
const PEER_REQUESTS = 30_000;
const DEADLINE_MS = 60_000;

/** `total` puts, so many at once; each worker has a key of its own. Gives puts for each second, and what 1,000 cost the members. */
async function puts(system, state, total, documentsOf) {
  let started = 0;
  const worker = async (_, lane) => {
    const documents = documentsOf(lane);
    while (started < total) {
      started += 1;
      const { version } = await documents.put('loop-0', keyOf(lane), VALUE, { expectedVersion: state.versions[lane] });
      state.versions[lane] = version;
    }
  };
  const cpuBefore = system.cpuMs();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: UNDER_WAY }, worker));
  const seconds = (performance.now() - startMs) / 1_000;
  return { rate: total / seconds, cpuPer1000: ((system.cpuMs() - cpuBefore) / total) * 1_000 };
}

async function clientOf(system) {
  const { QuorateClient } = await import(pathToFileURL(`${system.dist}/client/client.js`).href);
  const endpoints = system.positions.map((i) => system.place.clientAddress(i));
  const client = await QuorateClient.connect({ endpoints, caller: 'bench', deadlineMs: DEADLINE_MS });
  const opened = Array.from({ length: SESSIONS }, () => client.openSession({ ttlMs: 3_600_000 }));
  return { client, sessions: await Promise.all(opened), versions: new Uint32Array(UNDER_WAY) };
}

function figuresOf(plain, once) {
  return {
    stream_write_rate: plain.rate,
    stream_write_cpu: plain.cpuPer1000,
    stream_write_sessions_rate: once.rate,
    stream_write_sessions_cpu: once.cpuPer1000,
  };
}

const states = new WeakMap();

export const streamWrite = {
  name: 'stream-write',
  needs: ['h2load'],
  stages: () => [{ id: 'puts' }],
  cluster: () => ({ members: 3 }),
  lifetime: 'suite',
  async prepare(system, context) {
    if (system.name !== 'quorate') return writeLoad(system, context.workspace, '8x32', context.size(10_000, 500));
    const state = await clientOf(system);
    states.set(system, state);
    return puts(system, state, context.size(20_000, UNDER_WAY), () => state.client.withoutSession.documents);
  },
  async measure(system, _stage, context) {
    if (system.name !== 'quorate') {
      const loads = [];
      for (const shape of PEER_SHAPES)
        loads.push(await writeLoad(system, context.workspace, shape, context.size(PEER_REQUESTS, 2_048)));
      const best = loads.reduce((one, other) => (other.rate > one.rate ? other : one));
      return figuresOf(best, best);
    }
    const state = states.get(system);
    const { client, sessions } = state;
    const total = context.size(WRITES, UNDER_WAY);
    const plain = await puts(system, state, total, () => client.withoutSession.documents);
    const once = await puts(system, state, total, (lane) => sessions[lane % SESSIONS].documents);
    return figuresOf(plain, once);
  },
  async finish(system) {
    await states.get(system)?.client.close();
  },
};
