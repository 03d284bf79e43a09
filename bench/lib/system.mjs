/**
 * A system under test: members as processes of their own, data on a real disk with fsync, default timers. What it is asked for is said
 * in calls, `{ path, body }` of a unary gRPC method, so that every generator can send them to every system.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { cpuMs, memoryMiB, until, writtenBytes } from './workspace.mjs';

const identity = (bytes) => bytes;

/** The key that every write writes, 15 bytes; and its value. */
export const KEY = 'bench-key-00001';
export const VALUE = 'x'.repeat(128);

/** Key number `n`, 15 bytes. */
export function keyOf(n) {
  return `key-${String(n).padStart(11, '0')}`;
}

export function unary(client, path, request, deadlineMs) {
  return new Promise((resolve, reject) => {
    const options = { deadline: new Date(Date.now() + deadlineMs) };
    client.makeUnaryRequest(path, identity, identity, request, options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  });
}

export class System {
  workspace;
  place;
  folder;
  count;
  flags;
  children = [];
  #clients = [];

  /** @param {{ workspace: object, place: object, members: number, flags?: readonly string[] }} options */
  constructor({ workspace, place, members, flags = [] }) {
    this.workspace = workspace;
    this.place = place;
    this.count = members;
    this.flags = flags;
    this.folder = workspace.path(this.constructor.systemName);
    mkdirSync(this.folder);
  }

  get name() {
    return this.constructor.systemName;
  }
  get positions() {
    return Array.from({ length: this.count }, (_, i) => i);
  }
  /** Of the members that run. */
  get pids() {
    return this.children.filter((child) => child.exitCode === null && child.signalCode === null).map(({ pid }) => pid);
  }

  /** Starts member `i`; a subclass says how (`commandOf`). */
  start(i) {
    const { command, args, env } = this.commandOf(i);
    const [program, all] = this.place.command(i, command, args);
    this.children[i] = this.workspace.spawn(program, all, { log: join(this.folder, `${i}.log`), env });
  }

  startAll() {
    for (const i of this.positions) this.start(i);
  }

  async kill(i) {
    this.children[i].kill('SIGKILL');
    await this.children[i].gone;
  }

  /** Ends all members and forgets their connections. What they wrote stays until the end. */
  async stop() {
    for (const client of this.#clients) client?.close();
    this.#clients = [];
    for (const child of this.children) child.kill('SIGKILL');
    await Promise.all(this.children.map(({ gone }) => gone));
  }

  client(i) {
    this.#clients[i] ??= new Client(this.place.clientAddress(i), credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 20,
      'grpc.max_reconnect_backoff_ms': 100,
    });
    return this.#clients[i];
  }

  call(i, { path, body }, deadlineMs = 5_000) {
    return unary(this.client(i), path, body, deadlineMs);
  }

  /** Position of the leader once every member agrees on it; waits for that. */
  settled() {
    return until(`${this.name}: a leader that all follow (logs in ${this.folder})`, async () => {
      const views = await Promise.all(this.positions.map((i) => this.leaderSeenBy(i).catch(() => null)));
      return views[0] !== null && views.every((view) => view === views[0]) ? views[0] : null;
    });
  }

  async leaderAddress() {
    return this.place.clientAddress(await this.settled());
  }

  /** CPU time of all members so far, milliseconds. */
  cpuMs() {
    return this.pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  }

  /** Of the member that holds most, MiB: now, and at the peak. */
  memoryMiB() {
    const all = this.pids.map(memoryMiB);
    return { now: Math.max(...all.map(({ now }) => now)), peak: Math.max(...all.map(({ peak }) => peak)) };
  }

  /** What each member has written to its disk, bytes. */
  writtenBytes() {
    return this.pids.map(writtenBytes);
  }
}
