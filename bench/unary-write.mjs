/**
 * Compares builds: three members on loopback, h2load at the leader with one fixed small request. Rates and latencies depend on what else the
 * machine does; the members' CPU time for each 1,000 commands does so much less. Beside another system: npm run bench.
 *
 *   node bench/unary-write.mjs [--loads 1x1,1x64,8x32,16x64] [--requests 20000] [--dist DIR[,DIR…]] [--rounds 1] [--profile DIR] [--record]
 *
 * Several folders of `--dist` are measured in turn (A B A B …), each round with members that have just started. `--profile` keeps a
 * CPU profile of each member (`--cpu-prof`). Prints one JSON object.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseShape } from './lib/h2load.mjs';
import { writeLoad } from './lib/loads.mjs';
import { Loopback } from './lib/places.mjs';
import { Quorate } from './lib/quorate.mjs';
import { record } from './lib/record.mjs';
import { median } from './lib/stats.mjs';
import { Workspace } from './lib/workspace.mjs';

const MEMBERS = 3;
const WARM_UP_REQUESTS = 10_000;

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
const dists = values.dist.split(',').map((dist) => resolve(dist));
const loads = values.loads.split(',').map(parseShape);
const workspace = new Workspace('unary');

function profileFlags(i) {
  return values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(values.profile, `m${i}`)}`];
}

async function measure(dist) {
  const system = new Quorate({ workspace, place: await Loopback.make(MEMBERS), members: MEMBERS });
  Object.assign(system, { dist, nodeFlags: profileFlags });
  system.startAll();
  const leader = await system.settled();
  const startUpCpuMs = Math.round(system.cpuMs() / MEMBERS);
  await system.prepare();
  await writeLoad(system, workspace, '8x32', WARM_UP_REQUESTS);
  const found = [];
  for (const { text, connections, streams } of loads) {
    const requests = connections * streams === 1 ? Number(values.requests) / 20 : Number(values.requests);
    const { rate, mean, p50, p99, cpuPer1000 } = await writeLoad(system, workspace, text, requests);
    found.push({ load: text, rate, mean, p50, p99, cpuPer1000, memoryMiB: system.memoryMiB().now });
  }
  // A profile is written at an orderly end.
  for (const child of system.children) child.kill('SIGTERM');
  await Promise.all(system.children.map(({ gone }) => gone));
  await system.stop();
  return { leader, startUpCpuMs, loads: found };
}

const results = dists.map(() => []);
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const [i, dist] of dists.entries()) {
    results[i].push(await measure(dist));
    process.stderr.write(`${dist} round ${round + 1}: ${JSON.stringify(results[i].at(-1))}\n`);
  }
}
const summary = results.map((rounds, i) => ({
  dist: dists[i],
  startUpCpuMs: median(rounds.map(({ startUpCpuMs }) => startUpCpuMs)),
  loads: loads.map(({ text }, n) => {
    const of = (name) => Number(median(rounds.map((one) => one.loads[n][name])).toPrecision(4));
    const names = ['rate', 'mean', 'p50', 'p99', 'cpuPer1000', 'memoryMiB'];
    return { load: text, ...Object.fromEntries(names.map((name) => [name, of(name)])) };
  }),
}));
console.log(JSON.stringify(summary, null, 2));
if (values.record) {
  const how = `node bench/unary-write.mjs: median of ${values.rounds}`;
  for (const { load, rate, mean, cpuPer1000 } of summary[0].loads) {
    record({ figure: `unary_write_${load}`, value: rate, unit: 'ok/s', how });
    record({ figure: `unary_write_${load}_latency`, value: mean, unit: 'ms mean', how });
    record({ figure: `unary_write_${load}_cpu`, value: cpuPer1000, unit: 'CPU ms of 3 members per 1,000', how });
  }
}
process.exit(0);
