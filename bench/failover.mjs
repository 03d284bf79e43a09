/**
 * Failover (A4): time from the loss of the leader until a write succeeds at one of the others, for this system and for
 * etcd in turn, with SIGKILL and with a silent partition. Needs root, iproute2, nftables and an etcd on PATH (without
 * one, only this system is measured).
 *
 *   node bench/failover.mjs [--rounds 20] [--only quorate|etcd] [--data DIR] [--record]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Network } from './lib/network.mjs';
import { record } from './lib/record.mjs';
import { Etcd, Quorate } from './lib/systems.mjs';

const ATTEMPT_EVERY_MS = 10;
const ATTEMPT_DEADLINE_MS = 2_000;
const ROUND_MS_MAX = 30_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a write at each survivor every 10 ms until one that began after the loss succeeds; milliseconds since the loss. */
async function untilWritten(system, survivors, lostMs) {
  let doneMs = null;
  const attempts = [];
  while (doneMs === null) {
    if (performance.now() - lostMs > ROUND_MS_MAX)
      throw new Error(`${system.name}: no write within ${ROUND_MS_MAX} ms`);
    for (const i of survivors) {
      const attempt = system.write(i, ATTEMPT_DEADLINE_MS).then(
        () => {
          doneMs ??= performance.now();
        },
        () => undefined,
      );
      attempts.push(attempt);
    }
    await pause(ATTEMPT_EVERY_MS);
  }
  await Promise.all(attempts);
  return doneMs - lostMs;
}

async function round(system, network, how) {
  const leader = await system.settled();
  await pause(300 + Math.random() * 500);
  const survivors = [0, 1, 2].filter((i) => i !== leader);
  const lostMs = performance.now();
  if (how === 'kill') await system.kill(leader);
  else network.isolate(leader);
  const tookMs = await untilWritten(system, survivors, lostMs);
  if (how === 'kill') {
    await system.children[leader].gone;
    system.start(leader);
  } else network.heal();
  await system.settled();
  return tookMs;
}

function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, worst: sorted.at(-1), best: sorted[0] };
}

function hasEtcd() {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    only: { type: 'string' },
    data: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const folder = mkdtempSync(join(values.data ?? tmpdir(), 'quorate-failover-'));
const kinds = [Quorate, Etcd].filter((kind) => kind !== Etcd || hasEtcd());
const network = new Network(3);
const systems = [];
process.once('SIGINT', () => process.exit(130));
process.once('exit', () => {
  for (const system of systems) for (const child of system.children) child?.kill('SIGKILL');
  network.down();
  rmSync(folder, { recursive: true, force: true });
});
network.up();
const results = new Map();
for (const Kind of kinds) {
  const system = new Kind(network, join(folder, Kind.name));
  if (values.only !== undefined && system.name !== values.only) continue;
  systems.push(system);
  for (let i = 0; i < 3; i += 1) system.start(i);
  await system.settled();
  await system.prepare();
}
// In turn, so that what the machine does meanwhile meets both.
for (const how of ['kill', 'partition']) {
  for (let n = 0; n < rounds; n += 1) {
    for (const system of systems) {
      const key = `${system.name} ${how}`;
      const samples = results.get(key) ?? [];
      samples.push(await round(system, network, how));
      results.set(key, samples);
      process.stderr.write(`${key} ${n + 1}/${rounds}: ${samples.at(-1).toFixed(0)} ms\n`);
    }
  }
}
for (const [key, samples] of results) {
  const { median, worst, best } = summary(samples);
  console.log(
    `${key.padEnd(20)} median ${median.toFixed(0)} ms, worst ${worst.toFixed(0)} ms, best ${best.toFixed(0)} ms (${samples.length} rounds)`,
  );
  const [name, how] = key.split(' ');
  const base = `failover_${how}_${name}`;
  const note = `node bench/failover.mjs --rounds ${rounds}: three namespaces, default timers, both systems up and in turn`;
  if (values.record) {
    record({ figure: `${base}_median`, value: Math.round(median), unit: 'ms', how: note });
    record({ figure: `${base}_worst`, value: Math.round(worst), unit: 'ms', how: note });
  }
}
await Promise.all(systems.map((system) => system.stop()));
process.exit(0);
