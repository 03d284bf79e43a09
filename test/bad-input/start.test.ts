/**
 * Issue 2, done when 8: a member that cannot start says in one line what is wrong, where, and what to do; it ends with
 * exit code 2, shows no stack, and has changed nothing of the log and the tables. Tables that are damaged while the log is whole
 * are no reason not to start (W4); how members with peers recover is in test/storage and test/sim.
 */
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QuorateClient } from '../../src/client/client.ts';
import { must } from '../../src/types/assert.ts';
import { cli } from '../cli/run-cli.ts';
import { CONFIG_ROWS } from './config-rows.ts';
import { DATA_ROWS, REBUILT_ROWS } from './data-rows.ts';
import {
  configText,
  contentOf,
  freeAddresses,
  MemberProcess,
  type Ports,
  type Unprivileged,
  unprivileged,
} from './member-process.ts';

const LOOPS = 100;
let folder: string;
/** The data folder of a member that was stopped in order, with records in it. */
let template: string;
let ports: Ports;
let counter = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorate-bad-start-'));
  ports = await freeAddresses();
  template = join(folder, 'template');
  // Written often, so that the tables' own log holds more than one write.
  const member = await start(`${configText({ dataDir: template, ports })}storeFlushMs: 20\n`);
  await member.serving();
  await withClient(ports, async (client) => {
    for (let i = 0; i < LOOPS; i += 1) await client.withoutSession.createLoop(`before-${i}`);
  });
  expect((await member.stop()).code).toBe(0);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function withClient<T>(at: Ports, body: (client: QuorateClient) => Promise<T>): Promise<T> {
  await using client = await QuorateClient.connect({ endpoints: [at.clientAddress], deadlineMs: 20_000 });
  return await body(client);
}

function start(config: string, as?: Unprivileged): Promise<MemberProcess> {
  counter += 1;
  return MemberProcess.start(join(folder, `config-${counter}.yaml`), config, as);
}

/** One line, no stack, exit code 2. */
async function refused(member: MemberProcess, says: RegExp): Promise<void> {
  const { code, stdout, stderr } = await member.exited;
  expect(stdout).toBe('');
  expect(stderr).toMatch(says);
  expect(stderr.trimEnd().split('\n').length).toBe(1);
  expect(stderr).not.toMatch(/\n\s+at |node:internal|\[object/);
  expect(code).toBe(2);
}

/** The same command in this process, which is faster: what is refused leaves nothing running. */
async function refusedHere(config: string, says: RegExp): Promise<void> {
  const { code, stdout, stderr } = await cli(['server', '--config', config], { signal: AbortSignal.timeout(30_000) });
  const said = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  expect(said.join('\n')).toMatch(says);
  // One line for each problem, and nothing else.
  for (const line of said) expect(line).toMatch(/^quorate: /);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
}

/** A copy of the template that one row may damage. */
async function dataFolder(): Promise<string> {
  counter += 1;
  const copy = join(folder, `data-${counter}`);
  await cp(template, copy, { recursive: true });
  return copy;
}

describe('U1: configuration', () => {
  test.each(CONFIG_ROWS)('$name', async ({ text, says, file }) => {
    const dataDir = join(folder, 'never');
    if (text !== null) await writeFile(join(folder, 'config.yaml'), text({ dataDir, ports }));
    await refusedHere(join(folder, file ?? 'config.yaml'), says);
    expect(await contentOf(dataDir)).toEqual(new Map());
  });

  test('as a process', async () => {
    const dataDir = join(folder, 'never');
    const member = await start(`${configText({ dataDir, ports })}storeFlushMillis: 5\n`);
    await refused(member, /yaml:10: storeFlushMillis: unknown setting; the nearest valid one is storeFlushMs$/m);
    expect(await contentOf(dataDir)).toEqual(new Map());
  });
});

describe('U1: ports in use', () => {
  let taken: Server;
  let port: number;

  beforeAll(async () => {
    taken = createServer();
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
    const address = taken.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  afterAll(() => new Promise((done) => taken.close(done)));

  test.each(['clientListen', 'peerListen'] as const)('%s', async (setting) => {
    const dataDir = await dataFolder();
    const before = await contentOf(dataDir);
    const member = await start(`${configText({ dataDir, ports })}${setting}: 127.0.0.1:${port}\n`);
    const use = `cannot listen on 127\\.0\\.0\\.1:${port} \\(${setting}\\): another process uses the port\\. Stop it .* or choose another`;
    await refused(member, new RegExp(use));
    expect(await contentOf(dataDir, 'wal')).toEqual(new Map([...before].filter(([path]) => path.startsWith('wal/'))));
    if (setting === 'clientListen') expect(await starts(dataDir)).toBe(LOOPS);
  });

  test.each(['clientListen', 'peerListen'] as const)('%s of another machine', async (setting) => {
    const dataDir = await dataFolder();
    // TEST-NET-1: nobody has it.
    const member = await start(`${configText({ dataDir, ports })}${setting}: 192.0.2.1:7401\n`);
    await refused(
      member,
      new RegExp(`192\\.0\\.2\\.1:7401 \\(${setting}\\): this machine has no such address\\. Use one of its own`),
    );
  });
});

/** Starts a member in order on `dataDir` and gives the number of loops in it. `log`: takes what the member logged. */
async function starts(dataDir: string, log: string[] = []): Promise<number> {
  const member = await start(configText({ dataDir, ports }));
  await member.serving();
  const loops = await withClient(ports, async (client) => {
    let count = 0;
    for await (const loop of client.listLoops()) if (loop.name.startsWith('before-')) count += 1;
    return count;
  });
  log.push(...(await member.stop()).log);
  return loops;
}

describe('W4: data folders', () => {
  test.each(DATA_ROWS)('$name', async ({ damage, config, says, path, recovers, leaves }) => {
    const dataDir = await dataFolder();
    await damage(dataDir);
    const before = await contentOf(dataDir);
    const text = configText({ dataDir: path === undefined ? dataDir : join(dataDir, path), ports, ...config });
    await writeFile(`${dataDir}.yaml`, text);
    await refusedHere(`${dataDir}.yaml`, says(dataDir));
    // The lock's own folder tells who had it last; everything else is as it was.
    const without = (content: ReadonlyMap<string, string>) =>
      new Map([...content].filter(([name]) => leaves?.test(name) !== true));
    expect(without(await contentOf(dataDir))).toEqual(without(before));
    if (recovers === undefined) return;
    await recovers(dataDir);
    expect(await starts(dataDir)).toBe(LOOPS);
  });

  test.each(REBUILT_ROWS)('$name: brought back from the log', async ({ damage, says }) => {
    const dataDir = await dataFolder();
    await damage(dataDir);
    const lost = (await contentOf(dataDir, 'store')).size > 0;
    const log: string[] = [];
    expect(await starts(dataDir, log)).toBe(LOOPS);
    expect(log.join('\n')).toMatch(says);
    const aside = (await readdir(dataDir)).filter((name) => /^damaged-\d+-store$/.test(name));
    expect(aside.length).toBe(lost ? 1 : 0);
    const warned = log.filter((line) => line.includes('the tables on disk were damaged and are rebuilt from the log'));
    expect(warned.length).toBe(lost ? 1 : 0);
    for (const line of warned) expect(line).toContain(join(dataDir, aside[0] ?? ''));
    // Said once: the next start is like any other.
    const again: string[] = [];
    expect(await starts(dataDir, again)).toBe(LOOPS);
    expect(again.join('\n')).not.toContain('rebuilt from the log');
  });

  test('whose log is damaged, of the only member: what is readable makes a data folder of its own, as the runbook says', async () => {
    const dataDir = await dataFolder();
    const row = DATA_ROWS.find(({ name }) => name === 'whose log is damaged in the middle');
    await must(row, 'the table has the row').damage(dataDir);
    const repaired = `${dataDir}-repaired`;
    await mkdir(repaired);
    const { code, stdout } = await cli(['wal', 'repair', dataDir, '--out', join(repaired, 'wal')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/is damaged at offset \d+/);
    await writeFile(`${dataDir}.yaml`, configText({ dataDir: join(repaired, 'wal'), ports }));
    await refusedHere(
      `${dataDir}.yaml`,
      /is a segment of a log: this folder is the log of a member, not its data folder\. Name/,
    );
    await cp(join(dataDir, 'identity.json'), join(repaired, 'identity.json'));
    const loops = await starts(repaired);
    expect(loops).toBeGreaterThan(0);
    expect(loops).toBeLessThan(LOOPS);
  });

  test('of a member that runs', async () => {
    const dataDir = await dataFolder();
    const own = await freeAddresses();
    const running = await start(configText({ dataDir, ports: own }));
    await running.serving();
    const other = await start(configText({ dataDir, ports: await freeAddresses() }));
    await refused(
      other,
      new RegExp(`the data folder ${dataDir} is in use by process ${running.pid} on .*\\. Stop that member first`),
    );
    const loops = await withClient(own, async (client) => (await client.getLoop('before-0')).loop.g);
    expect(loops).toBe(1);
    await running.stop();
    expect(await starts(dataDir)).toBe(LOOPS);
  });
});

describe('U1: folders without permission', () => {
  let plain: Unprivileged;

  beforeAll(async () => {
    plain = await unprivileged();
  });

  test.concurrent.each([
    { name: 'a folder that may not be read', path: '.', mode: 0o000 },
    { name: 'a lock that may not be written', path: 'lock', mode: 0o555 },
    { name: 'a log that may not be read', path: 'wal', mode: 0o000 },
    { name: 'a log that may not be written', path: 'wal', mode: 0o555 },
    { name: 'a segment that may not be written', path: 'wal/000000000001.wal', mode: 0o444 },
    { name: 'tables that may not be read', path: 'store', mode: 0o000 },
    { name: 'tables that may not be written', path: 'store', mode: 0o555 },
  ])('$name', async ({ path, mode }) => {
    const dataDir = await dataFolder();
    const before = await contentOf(dataDir);
    await plain.restrict(dataDir, path, mode);
    const member = await start(configText({ dataDir, ports }), plain);
    await refused(
      member,
      /user \S+ \(uid \d+\) has no permission for \S+: give that user read and write access to it, or choose another/,
    );
    await plain.release(dataDir, path);
    expect(await contentOf(dataDir)).toEqual(before);
  });

  test('a new folder where none may be made', async () => {
    const parent = join(folder, 'closed');
    await mkdir(parent);
    await plain.restrict(parent, '.', 0o555);
    const member = await start(configText({ dataDir: join(parent, 'data'), ports }), plain);
    await refused(
      member,
      /has no permission for \S+\/closed: give that user read and write access to it, or choose another data folder/,
    );
  });
});
