/**
 * The systems under test behind one face: three members with default timers, each in its namespace, data on a real disk
 * with fsync. A write is one unary gRPC call with a small key and a value of 128 bytes.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { field, message, parse } from './wire.mjs';

const identity = (bytes) => bytes;
const VALUE = 'x'.repeat(128);

export function unary(client, path, request, deadlineMs) {
  return new Promise((resolve, reject) => {
    const options = { deadline: new Date(Date.now() + deadlineMs) };
    client.makeUnaryRequest(path, identity, identity, request, options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  });
}

class System {
  constructor(network, folder) {
    this.network = network;
    this.folder = folder;
    this.children = [];
    this.clients = [];
  }

  spawn(i, command, args, env = {}) {
    mkdirSync(this.folder, { recursive: true });
    const log = openSync(join(this.folder, `${i}.log`), 'a');
    const full = ['netns', 'exec', this.network.namespace(i), command, ...args];
    const child = spawn('ip', full, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
    closeSync(log);
    child.gone = new Promise((resolve) => child.once('exit', resolve));
    this.children[i] = child;
  }

  client(i) {
    this.clients[i] ??= new Client(`${this.network.address(i)}:${this.clientPort}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 20,
      'grpc.max_reconnect_backoff_ms': 100,
    });
    return this.clients[i];
  }

  async kill(i) {
    this.children[i].kill('SIGKILL');
  }

  async stop() {
    for (const client of this.clients) client?.close();
    for (const child of this.children) child?.kill('SIGKILL');
    await Promise.all(this.children.map((child) => child?.gone));
  }

  /** Position of the leader once every member agrees on it; waits for that. */
  async settled() {
    for (let tries = 0; tries < 1_500; tries += 1) {
      const views = await Promise.all([0, 1, 2].map((i) => this.leaderSeenBy(i).catch(() => null)));
      if (views[0] !== null && views.every((view) => view === views[0])) return views[0];
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${this.name} has no leader that all follow within 30 s: see ${this.folder}`);
  }
}

export class Etcd extends System {
  name = 'etcd';
  clientPort = 2379;
  #ids = new Map();

  start(i) {
    const { network } = this;
    const peers = [0, 1, 2].map((p) => `m${p}=http://${network.address(p)}:2380`).join(',');
    const own = network.address(i);
    this.spawn(i, 'etcd', [
      ...['--name', `m${i}`, '--data-dir', join(this.folder, `m${i}`), '--log-level', 'warn'],
      ...['--listen-client-urls', `http://${own}:2379`, '--advertise-client-urls', `http://${own}:2379`],
      ...['--listen-peer-urls', `http://${own}:2380`, '--initial-advertise-peer-urls', `http://${own}:2380`],
      ...['--initial-cluster', peers, '--initial-cluster-state', 'new'],
    ]);
  }

  async leaderSeenBy(i) {
    const answer = parse(await unary(this.client(i), '/etcdserverpb.Maintenance/Status', Buffer.alloc(0), 500));
    this.#ids.set(parse(answer.get(1)).get(2), i);
    const leader = answer.get(4);
    return leader === undefined || leader === 0n ? null : (this.#ids.get(leader) ?? null);
  }

  async prepare() {}

  write(i, deadlineMs) {
    return unary(
      this.client(i),
      '/etcdserverpb.KV/Put',
      message(field(1, 'failover-key-01'), field(2, VALUE)),
      deadlineMs,
    );
  }
}

export class Quorate extends System {
  name = 'quorate';
  clientPort = 7400;
  #request = null;

  start(i) {
    const { network } = this;
    const members = [0, 1, 2].map((p) => ({
      id: `m${p}`,
      peerAddress: `${network.address(p)}:7401`,
      clientAddress: `${network.address(p)}:7400`,
    }));
    const cli = new URL('../../dist/cli/main.js', import.meta.url).pathname;
    const flags = ['--cluster-id', 'bench', '--member-id', `m${i}`, '--data-dir', join(this.folder, `m${i}`)];
    this.spawn(i, process.execPath, [cli, 'server', ...flags, '--members', JSON.stringify(members)]);
  }

  async leaderSeenBy(i) {
    const answer = parse(await unary(this.client(i), '/quorate.v1.ClusterService/GetStatus', Buffer.alloc(0), 500));
    const leader = parse(answer.get(5)).get(4)?.toString() ?? '';
    return leader === '' ? null : Number(leader.slice(1));
  }

  /** One phase that runs; a write reports its progress. */
  async prepare() {
    const i = await this.settled();
    const header = field(1, field(4, 'bench'));
    await unary(this.client(i), '/quorate.v1.PhaseService/CreateLoop', message(header, field(2, 'bench')), 5_000);
    const ref = message(field(1, 'bench'), field(2, 1), field(3, 'ANALYZE'));
    const begun = await unary(
      this.client(i),
      '/quorate.v1.PhaseService/BeginPhase',
      message(header, field(2, ref)),
      5_000,
    );
    this.#request = { header, ref, token: this.tokenOf(begun) };
  }

  tokenOf(begun) {
    return parse(begun).get(this.tokenField ?? 3);
  }

  write(i, deadlineMs) {
    const { header, ref, token } = this.#request;
    const request = message(header, field(2, ref), field(3, token), field(4, 1), field(5, 2), field(6, VALUE));
    return unary(this.client(i), '/quorate.v1.PhaseService/ReportProgress', request, deadlineMs);
  }
}
