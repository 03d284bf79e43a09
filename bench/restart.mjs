/**
 * Restart of a member with a long log: from the start of the process until it answers a linearizable read, and what it holds in
 * memory then. One member, so that nothing but its own disk is in the way. Needs h2load (Debian nghttp2-client).
 *
 *   node bench/restart.mjs [--entries 1000000] [--record]
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { QuorateClient } from '../dist/client/client.js';
import { record } from './lib/record.mjs';
import { field, message } from './lib/wire.mjs';

const { values } = parseArgs({
  options: { entries: { type: 'string', default: '1000000' }, record: { type: 'boolean', default: false } },
});
const entries = Number(values.entries);
const folder = mkdtempSync(join(tmpdir(), 'quorate-restart-'));
const cli = new URL('../dist/cli/main.js', import.meta.url).pathname;
let child = null;
process.once('exit', () => {
  child?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

const address = `127.0.0.1:${await freePort()}`;
const peerAddress = `127.0.0.1:${await freePort()}`;

function start() {
  const members = JSON.stringify([{ id: 'a', peerAddress, clientAddress: address }]);
  // Keep all of the log: what is measured is a long one.
  const keep = ['--wal-keep-bytes', String(2 ** 34), '--wal-keep-slow-bytes', String(2 ** 34)];
  const own = ['--cluster-id', 'bench', '--member-id', 'a', '--data-dir', join(folder, 'a'), '--log-level', 'warn'];
  child = spawn(process.execPath, [cli, 'server', ...own, '--members', members, ...keep], { stdio: 'inherit' });
  child.gone = new Promise((done) => child.once('exit', done));
}

const memory = () => {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const of = (name) => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) / 1024);
  return { nowMiB: of('VmRSS'), peakMiB: of('VmHWM') };
};

start();
const client = await QuorateClient.connect({ endpoints: [address], caller: 'bench', deadlineMs: 60_000 });
const session = await client.openSession({ ttlMs: 3_600_000 });
await session.registerPlan({ name: 'load', phases: [{ name: 'ANALYZE', priorMs: 24 * 60 * 60 * 1000, slaMs: 0 }] });
await session.createLoop('bench', { plan: 'load' });
const { token } = await session.beginPhase({ loop: 'bench', g: 1, phase: 'ANALYZE' });
const ref = message(field(1, 'bench'), field(2, 1), field(3, 'ANALYZE'));
const header = field(1, field(4, 'bench'));
const body = message(header, field(2, ref), field(3, token), field(4, 1), field(5, 2), field(6, 'x'.repeat(128)));
const prefix = Buffer.alloc(5);
prefix.writeUInt32BE(body.length, 1);
const file = join(folder, 'request');
writeFileSync(file, Buffer.concat([prefix, body]));
const headers = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];
const target = `http://${address}/quorate.v1.PhaseService/ReportProgress`;
const out = execFileSync('h2load', ['-n', String(entries), '-c', '8', '-m', '32', '-d', file, ...headers, target], {
  encoding: 'utf8',
});
process.stderr.write(`${/finished in .*/.exec(out)?.[0]}\n`);
const before = memory();
const status = (await client.status())[0].status.streams[0];
child.kill('SIGKILL');
await child.gone;
const startMs = performance.now();
start();
await client.getLoop('bench', { deadlineMs: 60_000 });
const tookMs = performance.now() - startMs;
const after = memory();
console.log(
  `restart with ${status.lastIndex} entries in the log: ${(tookMs / 1000).toFixed(2)} s until a linearizable read; ` +
    `memory ${after.nowMiB} MiB then, ${after.peakMiB} MiB at the peak (before: ${before.nowMiB} and ${before.peakMiB})`,
);
if (values.record) {
  const how = `node bench/restart.mjs --entries ${entries}: one member, SIGKILL, then until a linearizable read`;
  record({ figure: 'restart_1m_entries', value: Number((tookMs / 1000).toFixed(2)), unit: 's', how });
  record({ figure: 'restart_1m_entries_memory', value: after.nowMiB, unit: 'MiB', how });
  record({ figure: 'restart_1m_entries_memory_peak', value: after.peakMiB, unit: 'MiB', how });
}
await client.close();
child.kill('SIGTERM');
await child.gone;
process.exit(0);
