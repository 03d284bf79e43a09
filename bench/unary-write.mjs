/**
 * Unary writes: three members on loopback, h2load (Debian nghttp2-client) at the leader with one fixed small request. Rates and
 * latencies depend on what else the machine does; the members' CPU time for each 1,000 commands does so much less.
 *
 *   node bench/unary-write.mjs [--loads 1x1,1x64,8x32,16x64] [--requests 20000] [--dist DIR[,DIR…]] [--rounds 1] [--profile DIR] [--record]
 *
 * Several folders of `--dist` are measured in turn (A B A B …), for a comparison of two builds. `--profile` keeps a CPU profile of
 * each member (`--cpu-prof`). Prints one JSON object.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { record } from './lib/record.mjs';
import { unary } from './lib/systems.mjs';
import { field, message, parse } from './lib/wire.mjs';

const { values } = parseArgs({
  options: {
    loads: { type: 'string', default: '1x1,1x64,8x32,16x64' },
    requests: { type: 'string', default: '20000' },
    dist: { type: 'string', default: new URL('../dist', import.meta.url).pathname },
    rounds: { type: 'string', default: '1' },
    profile: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
});
const run = promisify(execFile);
const dists = values.dist.split(',').map((dist) => resolve(dist));
const loads = values.loads.split(',').map((load) => load.split('x').map(Number));
const folder = mkdtempSync(join(tmpdir(), 'quorate-unary-'));
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
let children = [];
process.once('SIGINT', () => process.exit(130));
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** User and system time of a process so far, in milliseconds. */
function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1_000;
}

function rssMiB(pid) {
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);
}

async function startCluster(dist, data) {
  const members = [];
  for (const id of ['a', 'b', 'c']) {
    const [client, peer] = [await freePort(), await freePort()];
    members.push({ id, peerAddress: `127.0.0.1:${peer}`, clientAddress: `127.0.0.1:${client}` });
  }
  children = members.map(({ id }) => {
    const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(values.profile, id)}`];
    const own = ['--cluster-id', 'bench', '--member-id', id, '--data-dir', join(data, id), '--log-level', 'warn'];
    const args = [join(dist, 'cli/main.js'), 'server', ...own, '--members', JSON.stringify(members)];
    // As the image runs it (Dockerfile); what the caller sets counts.
    const env = { NODE_OPTIONS: '--max-semi-space-size=16', ...process.env };
    const child = spawn(process.execPath, [...profile, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env });
    child.gone = new Promise((done) => child.once('exit', done));
    return child;
  });
  return members;
}

/** The leader's position, once it says itself that it is one. */
async function settled(clients) {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const views = await Promise.all(
      clients.map((client) =>
        unary(client, '/quorate.v1.ClusterService/GetStatus', Buffer.alloc(0), 500).then(
          (answer) => parse(parse(answer).get(5)).get(4)?.toString() ?? '',
          () => '',
        ),
      ),
    );
    if (views[0] !== '' && views.every((view) => view === views[0])) return 'abc'.indexOf(views[0]);
    await pause(20);
  }
  throw new Error('no leader that all follow within 30 s');
}

/** One phase that runs; a write reports its progress. Gives the body of the gRPC call. */
async function prepare(client) {
  const header = field(1, field(4, 'bench'));
  await unary(client, '/quorate.v1.PhaseService/CreateLoop', message(header, field(2, 'bench')), 5_000);
  const ref = message(field(1, 'bench'), field(2, 1), field(3, 'ANALYZE'));
  const begun = await unary(client, '/quorate.v1.PhaseService/BeginPhase', message(header, field(2, ref)), 5_000);
  const token = parse(begun).get(3);
  const body = message(header, field(2, ref), field(3, token), field(4, 1), field(5, 2), field(6, 'x'.repeat(128)));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

const MS = { us: 0.001, ms: 1, s: 1_000 };

/** Output of h2load: answers, those that failed, rate, and latency as minimum, maximum, mean, deviation. */
function understand(text) {
  const requests = /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/.exec(text);
  const rate = /finished in [\d.]+m?s, ([\d.]+) req\/s/.exec(text);
  const times = [...(/time for request:(.*)/.exec(text)?.[1].matchAll(/([\d.]+)(us|ms|s)\b/g) ?? [])];
  if (requests === null || rate === null || times.length < 4) throw new Error(`h2load said:\n${text}`);
  const [, maxMs, meanMs] = times.map(([, value, unit]) => Number(value) * MS[unit]);
  return { done: Number(requests[1]), failed: Number(requests[2]), perSecond: Number(rate[1]), meanMs, maxMs };
}

/** A fixed number of calls, not a time: what a process does once (compiling, above all) weighs the same on both sides of a comparison. */
async function load([connections, streams], requests, address, request) {
  const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
  const how = ['-c', String(connections), '-m', String(streams), '-n', String(requests), '-d', request];
  const target = `http://${address}/quorate.v1.PhaseService/ReportProgress`;
  const { stdout } = await run('h2load', [...how, ...headers, target], { maxBuffer: 2 ** 24 });
  return understand(stdout);
}

async function measure(dist, data) {
  const members = await startCluster(dist, data);
  const clients = members.map(({ clientAddress }) => new Client(clientAddress, credentials.createInsecure()));
  const leader = await settled(clients);
  const startUpCpuMs = Math.round(children.reduce((sum, { pid }) => sum + cpuMs(pid), 0) / 3);
  const request = join(folder, 'request');
  writeFileSync(request, await prepare(clients[leader]));
  const { clientAddress } = members[leader];
  await load([8, 32], 10_000, clientAddress, request);
  const found = [];
  for (const shape of loads) {
    const before = children.map(({ pid }) => cpuMs(pid));
    const requests = shape[0] * shape[1] === 1 ? Number(values.requests) / 20 : Number(values.requests);
    const result = await load(shape, requests, clientAddress, request);
    const spent = children.map(({ pid }, i) => cpuMs(pid) - before[i]);
    const per1000 = (ms) => Number(((ms / result.done) * 1_000).toFixed(1));
    found.push({
      load: shape.join('x'),
      ...result,
      leaderRssMiB: rssMiB(children[leader].pid),
      cpuMsPer1000: per1000(spent.reduce((sum, ms) => sum + ms, 0)),
      leaderCpuMsPer1000: per1000(spent[leader]),
    });
  }
  // A call that was refused would be a fast one: what the last of them says is looked at.
  const last = await unary(
    clients[leader],
    '/quorate.v1.PhaseService/ReportProgress',
    readFileSync(request).subarray(5),
    5_000,
  );
  if (last.length === 0) throw new Error('the request of the load was not carried out');
  for (const client of clients) client.close();
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.map(({ gone }) => gone));
  children = [];
  return { leader: members[leader].id, startUpCpuMs, loads: found };
}

const median = (numbers) => {
  const sorted = [...numbers].sort((x, y) => x - y);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
};

const results = dists.map(() => []);
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const [i, dist] of dists.entries()) {
    results[i].push(await measure(dist, join(folder, `${round}-${i}`)));
    process.stderr.write(`${dist} round ${round + 1}: ${JSON.stringify(results[i].at(-1))}\n`);
  }
}
const summary = results.map((rounds, i) => ({
  dist: dists[i],
  startUpCpuMs: median(rounds.map(({ startUpCpuMs }) => startUpCpuMs)),
  loads: loads.map((shape, n) => {
    const of = (name) => median(rounds.map((one) => one.loads[n][name]));
    const names = ['perSecond', 'meanMs', 'maxMs', 'failed', 'cpuMsPer1000', 'leaderCpuMsPer1000', 'leaderRssMiB'];
    return { load: shape.join('x'), ...Object.fromEntries(names.map((name) => [name, of(name)])) };
  }),
}));
console.log(JSON.stringify(summary, null, 2));
if (values.record) {
  const how = `node bench/unary-write.mjs: median of ${values.rounds}`;
  for (const { load: shape, perSecond, meanMs, cpuMsPer1000 } of summary[0].loads) {
    record({ figure: `unary_write_${shape}`, value: perSecond, unit: 'ok/s', how });
    record({ figure: `unary_write_${shape}_latency`, value: meanMs, unit: 'ms mean', how });
    record({ figure: `unary_write_${shape}_cpu`, value: cpuMsPer1000, unit: 'CPU ms of 3 members per 1,000', how });
  }
}
process.exit(0);
