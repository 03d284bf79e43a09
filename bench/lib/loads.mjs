/** What several suites ask of a system: loads, and a proof that they were carried out. */
import { GrpcLoad } from './grpc-load.mjs';
import { h2load, parseShape } from './h2load.mjs';
import { latencyFigures } from './stats.mjs';

export const IN_FLIGHT = 256;
const CONNECTIONS = 8;

/** A load that has its connections for as long as `work` takes. */
export async function withLoad(addresses, connections, work) {
  const load = new GrpcLoad(addresses, connections);
  try {
    return await work(load);
  } finally {
    load.close();
  }
}

/** One fixed write through h2load. A write that was refused is fast, and counts for nothing: entries that were applied count. */
export async function writeLoad(system, workspace, shape, requests) {
  const leader = await system.settled();
  const address = system.place.clientAddress(leader);
  const [appliedBefore, cpuBefore] = [await system.appliedBy(leader), system.cpuMs()];
  const result = await h2load(workspace, { shape: parseShape(shape), requests, address, call: system.write });
  const cpuMs = system.cpuMs() - cpuBefore;
  const applied = Math.min(result.done, (await system.appliedBy(leader)) - appliedBefore);
  if (applied === 0) throw new Error(`${system.name}: no write was carried out`);
  return { ...result, rate: applied / result.seconds, cpuPer1000: (cpuMs / applied) * 1_000 };
}

/** One fixed read through h2load; every answer must have brought what one answer brings. */
export async function readLoad(system, workspace, shape, requests) {
  const leader = await system.settled();
  const answer = await system.call(leader, system.read);
  const address = system.place.clientAddress(leader);
  const result = await h2load(workspace, { shape: parseShape(shape), requests, address, call: system.read });
  // Numbers in it grow meanwhile, and may be shorter by some bytes.
  if (result.dataBytes < result.done * answer.length * 0.95) throw new Error(`${system.name}: reads were refused`);
  return result;
}

/** Counts how often each key was written, so that the next write says on which version it stands. */
export class Keys {
  #versions;
  #next = 0;
  #stride;

  /** `stride`: the order in which keys come; must have no factor in common with their number. */
  constructor(count, stride = 1) {
    this.#versions = new Uint32Array(count);
    this.#stride = stride;
  }

  get count() {
    return this.#versions.length;
  }

  /** As many as before, and new ones. */
  grow(count) {
    const versions = new Uint32Array(count);
    versions.set(this.#versions);
    this.#versions = versions;
  }

  write(system, n) {
    this.#versions[n] += 1;
    return system.keyedWrite(n, this.#versions[n]);
  }

  /** A write of the next key. */
  next(system) {
    this.#next = (this.#next + this.#stride) % this.#versions.length;
    return this.write(system, this.#next);
  }
}

/** `total` calls, each made by `next`, at the leader. */
export async function keyedLoad(system, total, next, { inFlight = IN_FLIGHT, address = null } = {}) {
  const to = address ?? (await system.leaderAddress());
  const cpuBefore = system.cpuMs();
  const { rate, latencies, seconds } = await withLoad([to], CONNECTIONS, (load) => load.run(total, inFlight, next));
  return { rate, seconds, cpuPer1000: ((system.cpuMs() - cpuBefore) / total) * 1_000, ...latencyFigures(latencies) };
}
