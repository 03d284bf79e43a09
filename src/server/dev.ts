/** A cluster on this machine: each member is a process of its own, so that each can be killed alone. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EndpointStatus, QuorateClient } from '../client/client.ts';
import { must } from '../types/assert.ts';
import { memberId } from '../types/ids.ts';
import { MEMBERS_MAX } from '../types/limits.ts';
import type { MemberAddress } from './config.ts';
import { DevMember } from './dev-member.ts';
import { freePorts } from './free-ports.ts';

const HOST = '127.0.0.1';
/** Peer ports are this much above client ports. */
const PEER_PORT_OFFSET = 100;
/** And HTTP ports this much. */
const HTTP_PORT_OFFSET = 200;
const STOP_GRACE_MS = 5_000;
const LEADER_WAIT_MS = 20_000;
const POLL_MS = 25;

export interface DevClusterOptions {
  readonly members: number;
  /** Each member has a folder in it, and a log file. Created when it is missing. */
  readonly dataDir: string;
  /** First client port, the others follow; peers are 100 above, HTTP 200. 'free': the system chooses. Default: 'free'. */
  readonly ports?: number | 'free';
  /**
   * What the processes see; default: this process's environment. Settings of a server in it (QUORATE_*) are left out:
   * they would be the same for all members, down to the port. Settings go in `flags`.
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** More flags of `quorate server`, such as `--log-level`. */
  readonly flags?: readonly string[];
  /** Path of `dist/cli/main.js`; default: that of this installation. */
  readonly cli?: string;
  /** The folder goes when this fails: messages show what the logs end with instead of where they are. Default: false. */
  readonly temporary?: boolean;
  /** Ends the start, which then rejects with its reason. */
  readonly signal?: AbortSignal;
}

export interface DevCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly DevMember[];
  /** The member that leads now, or null. */
  leader(): Promise<DevMember | null>;
  /** Waits until a member leads and a majority follows it. Rejects when time is up. */
  waitForLeader(timeoutMs?: number): Promise<DevMember>;
  /** Stops all members; after a few seconds it insists. Idempotent. */
  stop(): Promise<void>;
}

interface Addresses {
  readonly address: MemberAddress;
  readonly httpAddress: string;
}

async function addresses(count: number, ports: number | 'free'): Promise<readonly Addresses[]> {
  const free = ports === 'free' ? await freePorts(count * 3, HOST) : [];
  return Array.from({ length: count }, (_, i) => {
    const client = ports === 'free' ? free[i] : ports + i;
    const peer = ports === 'free' ? free[count + i] : ports + PEER_PORT_OFFSET + i;
    const http = ports === 'free' ? free[2 * count + i] : ports + HTTP_PORT_OFFSET + i;
    const address = {
      id: memberId(`m${i + 1}`),
      peerAddress: `${HOST}:${peer}`,
      clientAddress: `${HOST}:${client}`,
    };
    return { address, httpAddress: `${HOST}:${http}` };
  });
}

function withoutSettings(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => !name.startsWith('QUORATE_') || name === 'QUORATE_DEBUG');
  return Object.fromEntries(kept);
}

/** Numbers of the members that the folder shows traces of, as far as the pattern tells. */
function numbersOf(names: readonly string[], pattern: RegExp): readonly number[] {
  return names.flatMap((name) => {
    const number = pattern.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}

/** A folder keeps the members that it was made with; others would not know of each other. */
function checkFolder(dataDir: string, members: number): void {
  let names: readonly string[];
  try {
    names = readdirSync(dataDir);
  } catch {
    return;
  }
  const folders = new Set(numbersOf(names, /^m(\d+)$/));
  const kept = folders.size;
  if (kept === 0) return;
  // A member that lost its folder has left its log.
  const made = Math.max(...numbersOf(names, /^m(\d+)(?:\.log)?$/));
  const lost = Array.from({ length: made }, (_, i) => i + 1).filter((number) => !folders.has(number));
  if (lost.length > 0) {
    const list = lost.map((number) => join(dataDir, `m${number}`)).join(', ');
    throw new Error(
      `${list}: missing, and the cluster had ${made} members; put it back, or choose another folder with --data`,
    );
  }
  if (kept === members) return;
  const back = kept < members ? ' (if it had more, put their folders back)' : '';
  throw new Error(
    `${dataDir} holds a cluster of ${kept} members; say --members ${kept}${back}, or choose another folder with --data`,
  );
}

/** Its cluster goes on without it, and it would not start. */
function wasRemoved(folder: string): boolean {
  try {
    const identity: unknown = JSON.parse(readFileSync(join(folder, 'identity.json'), 'utf8'));
    return typeof identity === 'object' && identity !== null && 'removed' in identity && identity.removed === true;
  } catch {
    // The member itself says what is wrong with it.
    return false;
  }
}

function leadingMember(statuses: readonly EndpointStatus[], majority: number): string | null {
  const streams = statuses.flatMap((one) => ('status' in one ? [one.status.streams[0]] : []));
  const leader = statuses.find((one) => 'status' in one && one.status.streams[0]?.role === 'leader');
  if (leader === undefined || !('status' in leader)) return null;
  const id = leader.status.memberId;
  return streams.filter((stream) => stream?.leaderId === id).length >= majority ? id : null;
}

class Cluster implements DevCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly DevMember[];
  readonly #stopped = new AbortController();
  readonly #temporary: boolean;
  #client: Promise<QuorateClient> | null = null;

  constructor(members: readonly DevMember[], temporary: boolean) {
    this.members = members;
    this.#temporary = temporary;
    this.endpoints = members.map((member) => member.clientAddress);
  }

  async leader(): Promise<DevMember | null> {
    const { endpoints } = this;
    const { signal } = this.#stopped;
    this.#client ??= QuorateClient.connect({ endpoints, caller: 'dev', deadlineMs: LEADER_WAIT_MS, signal });
    try {
      const client = await this.#client;
      const majority = Math.floor(this.members.length / 2) + 1;
      const id = leadingMember(await client.status({ deadlineMs: 500 }), majority);
      return this.members.find((member) => member.id === id) ?? null;
    } catch {
      this.#client = null;
      return null;
    }
  }

  async waitForLeader(timeoutMs = LEADER_WAIT_MS): Promise<DevMember> {
    const endMs = performance.now() + timeoutMs;
    while (performance.now() < endMs && !this.#stopped.signal.aborted) {
      const leader = await this.leader();
      if (leader !== null) return leader;
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    const logs = this.members.map((member) =>
      this.#temporary ? `${member.id}: ${member.lastWords() || 'nothing'}` : member.logFile,
    );
    const what = this.#temporary ? 'the last words of the members' : "the members' logs";
    throw new Error(`no leader within ${timeoutMs} ms; ${what}: ${logs.join(', ')}`);
  }

  /** Rejects when one of them ends. */
  async firstDeath(): Promise<never> {
    const exits = this.members.map(async (member) => ({ member, exit: await member.exited }));
    const { member, exit } = await Promise.race(exits);
    const why = member.lastWords() || `exit code ${exit.code ?? exit.signal}`;
    const log = this.#temporary ? '' : ` (its log: ${member.logFile})`;
    throw new Error(`member ${member.id} ended: ${why.replace(/^quorate: /, '')}${log}`);
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the cluster is stopped'));
    const client = this.#client;
    this.#client = null;
    await Promise.all(this.members.map((member) => member.stop(STOP_GRACE_MS)));
    await client?.then(
      (open) => open.close(),
      () => undefined,
    );
  }
}

/** Starts the members and waits until one of them leads. When that fails, nothing is left running. */
export async function startDevCluster(options: DevClusterOptions): Promise<DevCluster> {
  const { members: count, ports = 'free', flags = [], temporary = false, signal } = options;
  signal?.throwIfAborted();
  if (!Number.isInteger(count) || count < 1 || count > MEMBERS_MAX) {
    throw new Error(`a cluster has 1 to ${MEMBERS_MAX} members, not ${count}; correct --members`);
  }
  const dataDir = resolve(options.dataDir);
  checkFolder(dataDir, count);
  const cli = options.cli ?? fileURLToPath(new URL('../cli/main.js', import.meta.url));
  const env = withoutSettings(options.env ?? process.env);
  const list = await addresses(count, ports);
  signal?.throwIfAborted();
  const common = ['--cluster-id', 'dev', '--members', JSON.stringify(list.map(({ address }) => address)), ...flags];
  const left = list.filter(({ address }) => !wasRemoved(join(dataDir, address.id)));
  if (left.length === 0)
    throw new Error(`${dataDir}: all members of it were removed; choose another folder with --data`);
  const members = left.map(({ address, httpAddress }) => {
    const http = flags.includes('--http-listen') ? [] : ['--http-listen', httpAddress];
    const own = ['--member-id', address.id, '--data-dir', join(dataDir, address.id), ...http];
    const logFile = join(dataDir, `${address.id}.log`);
    return new DevMember({ address, httpAddress, cli, flags: [...own, ...common], env, logFile });
  });
  const cluster = new Cluster(members, temporary);
  const onAbort = (): void => void cluster.stop();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for (const member of members) member.start();
    await Promise.race([cluster.waitForLeader(), cluster.firstDeath()]);
    signal?.throwIfAborted();
    return cluster;
  } catch (error) {
    await cluster.stop();
    // What the members that it ended said is not the reason.
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

/** Where a member of the cluster is, by its id. */
export function memberOf(cluster: DevCluster, id: string): DevMember {
  return must(
    cluster.members.find((member) => member.id === id),
    `the cluster has a member ${id}`,
  );
}
