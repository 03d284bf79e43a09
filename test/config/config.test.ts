import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type ConfigInput, type LoadedConfig, loadConfig } from '../../src/server/config.ts';
import { printConfig } from '../../src/server/config-print.ts';
import { formatProblem } from '../../src/server/config-problem.ts';
import { SETTINGS } from '../../src/server/config-settings.ts';

const MEMBERS = `members:
  - id: a
    peerAddress: 127.0.0.1:7501
    clientAddress: 127.0.0.1:7401
  - id: b
    peerAddress: 127.0.0.1:7502
    clientAddress: 127.0.0.1:7402
`;
const BASE = `clusterId: demo
memberId: a
dataDir: data
${MEMBERS}`;

function load(text: string | null, given: { flags?: Record<string, string>; env?: ConfigInput['env'] } = {}) {
  const file = text === null ? null : { name: 'quorate.yaml', text };
  return loadConfig({ flags: new Map(Object.entries(given.flags ?? {})), env: given.env ?? {}, file }, '/srv');
}

function loaded(result: ReturnType<typeof load>): LoadedConfig {
  if (!result.ok) throw new Error(result.error.map(formatProblem).join('\n'));
  return result.value;
}

function problems(result: ReturnType<typeof load>): string[] {
  if (result.ok) throw new Error('accepted');
  return result.error.map(formatProblem);
}

describe('U1: configuration', () => {
  test('a minimal file gets every default', () => {
    const { config, sources } = loaded(load(BASE));
    expect(config).toMatchObject({
      clusterId: 'demo',
      dataDir: '/srv/data',
      clientListen: '127.0.0.1:7401',
      peerListen: '127.0.0.1:7501',
      httpListen: '',
      join: false,
      raft: { tickMs: 20, electionTicks: 20, heartbeatTicks: 3, leaseTicks: 10, leaseMs: 160 },
      storeFlushMs: 5_000,
      storeFlushBytes: 4 * 1024 * 1024,
      partitionMs: 45_000,
      featureLevelMax: 3,
      trace: { bytesMax: 256 * 1024 * 1024 },
      log: { level: 'info', format: 'json' },
    });
    expect([...sources.keys()].sort()).toEqual(SETTINGS.map((setting) => setting.path).sort());
  });

  test('flag over environment over file over default', () => {
    const file = `${BASE}raft:\n  tickMs: 30\n  electionTicks: 30\nstoreFlushMs: 70\n`;
    const env = { QUORATE_RAFT_TICK_MS: '40', QUORATE_RAFT_ELECTION_TICKS: '40' };
    const { config, sources } = loaded(load(file, { env, flags: { 'raft.tickMs': '50' } }));
    expect(config.raft).toEqual({ tickMs: 50, electionTicks: 40, heartbeatTicks: 3, leaseTicks: 20, leaseMs: 800 });
    expect(config.storeFlushMs).toBe(70);
    expect(sources.get('raft.tickMs')).toEqual({ from: 'flag', where: '--raft-tick-ms' });
    expect(sources.get('raft.electionTicks')).toEqual({ from: 'env', where: 'QUORATE_RAFT_ELECTION_TICKS' });
    expect(sources.get('storeFlushMs')).toEqual({ from: 'file', where: 'quorate.yaml:14' });
    expect(sources.get('raft.heartbeatTicks')).toEqual({ from: 'default', where: '' });
  });

  test('everything can come from the environment', () => {
    const env = {
      QUORATE_CLUSTER_ID: 'demo',
      QUORATE_MEMBER_ID: 'a',
      QUORATE_DATA_DIR: '/data',
      QUORATE_MEMBERS: '[{id: a, peerAddress: "[::1]:7501", clientAddress: "a.example:7401"}]',
      QUORATE_CLIENT_LISTEN: '0.0.0.0:7401',
      QUORATE_LOG_LEVEL: 'debug',
    };
    const { config } = loaded(load(null, { env }));
    expect(config).toMatchObject({ dataDir: '/data', clientListen: '0.0.0.0:7401', peerListen: '[::1]:7501' });
    expect(config.log.level).toBe('debug');
  });

  test('R2: a member that waits to be added says so, in any of the ways', () => {
    expect(loaded(load(`${BASE}join: true\n`)).config.join).toBe(true);
    expect(loaded(load(BASE, { env: { QUORATE_JOIN: 'true' } })).config.join).toBe(true);
    expect(loaded(load(`${BASE}join: true\n`, { flags: { join: 'false' } })).config.join).toBe(false);
  });

  test('R3: the lease follows the ticks unless it is given', () => {
    const text = `${BASE}raft:\n  tickMs: 10\n  electionTicks: 9\n`;
    expect(loaded(load(text)).config.raft).toMatchObject({ leaseTicks: 4, leaseMs: 27 });
    expect(loaded(load(`${text}  leaseTicks: 9\n`)).config.raft).toMatchObject({ leaseTicks: 9, leaseMs: 72 });
    expect(loaded(load(`${text}  leaseMs: 0\n`)).config.raft).toMatchObject({ leaseTicks: 4, leaseMs: 0 });
    expect(loaded(load(text)).sources.get('raft.leaseMs')).toEqual({
      from: 'default',
      where: '80 % of raft.leaseTicks, or less when they are few',
    });
  });

  test("other commands' variables and those that Kubernetes sets are left alone", () => {
    const env = {
      QUORATE_ENDPOINTS: 'a:1',
      QUORATE_SERVICE_HOST: '10.0.0.1',
      QUORATE_SERVICE_PORT_GRPC: '7401',
      QUORATE_PORT: 'tcp://10.0.0.1:7401',
      QUORATE_PORT_7401_TCP_ADDR: '10.0.0.1',
    };
    expect(load(BASE, { env }).ok).toBe(true);
  });

  test('--print-config prints what it read, with sources, and reads back the same', () => {
    const first = loaded(load(BASE, { env: { QUORATE_RAFT_TICK_MS: '40' } }));
    const text = printConfig(first);
    expect(text).toContain('clusterId: demo # file quorate.yaml:1');
    expect(text).toContain('tickMs: 40 # env QUORATE_RAFT_TICK_MS');
    expect(text).toContain('storeFlushMs: 5000 # default');
    expect(text).toContain('clientListen: 127.0.0.1:7401 # default: clientAddress of member a');
    expect(text).toContain('# file quorate.yaml:5\nmembers:');
    expect(parse(text)).toEqual(first.config);
    expect(loaded(load(text)).config).toEqual(first.config);
  });

  test.each<[string, string | null, Parameters<typeof load>[1], string[]]>([
    [
      'unknown key',
      `${BASE}raft:\n  tikMs: 20\n`,
      {},
      ['quorate.yaml:12: raft.tikMs: unknown setting; the nearest valid one is raft.tickMs'],
    ],
    [
      'unknown key of a member',
      BASE.replace('    peerAddress: 127.0.0.1:7502', '    peerAdress: 127.0.0.1:7502'),
      {},
      [
        'quorate.yaml:8: members.1.peerAddress: must be host:port with a port from 1 to 65535, such as 10.0.0.1:7401, not missing',
        'quorate.yaml:9: members.1.peerAdress: unknown setting; the nearest valid one is peerAddress',
      ],
    ],
    [
      'unknown variable',
      BASE,
      { env: { QUORATE_RAFT_TICKMS: '1' } },
      ['QUORATE_RAFT_TICKMS: unknown setting; the nearest valid one is QUORATE_RAFT_TICK_MS'],
    ],
    [
      'not a number',
      BASE,
      { env: { QUORATE_RAFT_TICK_MS: '20ms' } },
      ['QUORATE_RAFT_TICK_MS: raft.tickMs: must be a whole number from 1 to 10000, not "20ms"'],
    ],
    [
      'out of range',
      BASE,
      { flags: { 'raft.tickMs': '-1' } },
      ['--raft-tick-ms: raft.tickMs: must be a whole number from 1 to 10000, not -1'],
    ],
    [
      'wrong type in the file',
      `${BASE}storeFlushMs: soon\n`,
      {},
      ['quorate.yaml:11: storeFlushMs: must be a whole number from 1 to 60000, not "soon"'],
    ],
    [
      'fraction',
      `${BASE}storeFlushMs: 1.5\n`,
      {},
      ['quorate.yaml:11: storeFlushMs: must be a whole number from 1 to 60000, not 1.5'],
    ],
    [
      'group that is no map',
      `${BASE}raft: 3\n`,
      {},
      ['quorate.yaml:11: raft: must be a map of settings, written as "key: value" lines'],
    ],
    ['file that is a list', '- a\n', {}, ['quorate.yaml:1: must be a map of settings, written as "key: value" lines']],
    [
      'key without value',
      `${BASE}storeFlushMs:\n`,
      {},
      ['quorate.yaml:11: storeFlushMs: has no value; give one or remove the line'],
    ],
    [
      'heartbeat not below half of the election timeout',
      `${BASE}raft:\n  heartbeatTicks: 10\n`,
      {},
      [
        'quorate.yaml:12: raft.heartbeatTicks: 10 must be less than half of raft.electionTicks (20), or followers give up on a healthy leader; lower it to 9 or raise raft.electionTicks',
      ],
    ],
    [
      'R3: lease longer than the promise that it rests on',
      `${BASE}raft:\n  leaseMs: 163\n`,
      {},
      [
        'quorate.yaml:12: raft.leaseMs: 163 must be at most 90 % of raft.leaseTicks less one (9 ticks of 20 ms), or a leader that was replaced may still answer reads; lower it to 162',
      ],
    ],
    [
      'promise longer than an election timeout',
      `${BASE}raft:\n  leaseTicks: 21\n`,
      {},
      ['quorate.yaml:12: raft.leaseTicks: 21 must be at most raft.electionTicks (20); lower it'],
    ],
    [
      'log kept for slow members shorter than for others',
      BASE,
      { flags: { 'wal.keepSlowBytes': '1' } },
      ['wal.keepBytes: 67108864 must be at most wal.keepSlowBytes (1); lower it'],
    ],
    [
      'neither true nor false',
      BASE,
      { env: { QUORATE_JOIN: 'yes' } },
      ['QUORATE_JOIN: join: must be true or false, not "yes"'],
    ],
    [
      'R9: feature level of a later release',
      `${BASE}featureLevelMax: 4\n`,
      {},
      ['quorate.yaml:11: featureLevelMax: must be a whole number from 1 to 3, not 4'],
    ],
    [
      'D5: a window without length, U3: an HTTP port that is none',
      `${BASE}partitionMs: 0\nhttpListen: localhost\n`,
      {},
      [
        'quorate.yaml:12: httpListen: must be host:port with a port from 1 to 65535, such as 127.0.0.1:7601, or empty, not "localhost"',
        'quorate.yaml:11: partitionMs: must be a whole number from 100 to 3600000, not 0',
      ],
    ],
    [
      'limits against each other',
      `${BASE}limits:\n  uncommittedBytesMax: 1048576\n`,
      {},
      ['limits.proposalBytesMax: 16777216 must be at most limits.uncommittedBytesMax (1048576); lower it'],
    ],
    [
      'member not in the list',
      BASE.replace('memberId: a', 'memberId: c'),
      {},
      ['quorate.yaml:2: memberId: "c" is not among members (a, b); correct it or add the member to the list'],
    ],
    [
      'member twice',
      BASE.replace('- id: b', '- id: a'),
      {},
      ['quorate.yaml:5: members: the id "a" stands there twice; give each member its own'],
    ],
    [
      'address twice',
      BASE.replace('7402', '7401'),
      {},
      ['quorate.yaml:5: members: the address "127.0.0.1:7401" stands there twice; give each member its own'],
    ],
    [
      'bad address',
      BASE.replace('127.0.0.1:7402', '127.0.0.1:99999'),
      {},
      [
        'quorate.yaml:10: members.1.clientAddress: must be host:port with a port from 1 to 65535, such as 10.0.0.1:7401, not "127.0.0.1:99999"',
      ],
    ],
    [
      'bad name',
      BASE.replace('demo', 'Demo!'),
      {},
      [
        "quorate.yaml:1: clusterId: must be the name of a cluster: 1 to 64 characters of a-z, 0-9 and '-', '-' not first or last, not \"Demo!\"",
      ],
    ],
    [
      'bad level',
      BASE,
      { env: { QUORATE_LOG_LEVEL: 'loud' } },
      ['QUORATE_LOG_LEVEL: log.level: must be one of trace, debug, info, warn, error, fatal, silent, not "loud"'],
    ],
  ])('refuses: %s', (_name, text, given, expected) => {
    expect(problems(load(text, given))).toEqual(expected);
  });

  test('says all that is missing at once, and how to give it', () => {
    const lines = problems(load(''));
    expect(lines.map((line) => line.split(':')[0])).toEqual(['clusterId', 'memberId', 'dataDir', 'members']);
    expect(lines[0]).toContain('give it in the file, with --cluster-id or as QUORATE_CLUSTER_ID');
  });

  test('a file that is no YAML names the line', () => {
    expect(problems(load('clusterId: a\nraft: {tickMs: 1\n'))[0]).toMatch(/^quorate\.yaml:\d+: this is not valid YAML/);
    expect(problems(load('clusterId: a\nclusterId: b\n'))[0]).toContain('quorate.yaml:2: this is not valid YAML');
  });

  test('at most seven members', () => {
    const entry = (i: number): string =>
      `{id: m${i}, peerAddress: 127.0.0.1:${8000 + i}, clientAddress: 127.0.0.1:${9000 + i}}`;
    const list = (n: number): string => `[${Array.from({ length: n }, (_, i) => entry(i)).join(',')}]`;
    const flags = (n: number) => ({ clusterId: 'a', memberId: 'm0', dataDir: 'd', members: list(n) });
    expect(load(null, { flags: flags(7) }).ok).toBe(true);
    expect(problems(load(null, { flags: flags(8) }))[0]).toContain('must name at most 7 members');
    expect(problems(load(null, { flags: flags(0) }))[0]).toContain('must name at least one member');
  });
});
