/** The table of settings that a member does not start with, and what it says. `FILE` stands for the file's path. */
import { type ConfigInit, configText } from './member-process.ts';

export interface ConfigRow {
  readonly name: string;
  /** null: there is no file. */
  readonly text: ((init: ConfigInit) => string) | null;
  readonly says: RegExp;
  /** Another path for --config, in the tests' folder. */
  readonly file?: string;
}

function added(name: string, lines: string, says: RegExp): ConfigRow {
  return { name, text: (init) => `${configText(init)}${lines}\n`, says };
}

function changed(name: string, from: string | RegExp, to: string, says: RegExp): ConfigRow {
  return { name, text: (init) => configText(init).replace(from, to), says };
}

export const CONFIG_ROWS: readonly ConfigRow[] = [
  added(
    'a wrong key',
    'storeFlushMillis: 5',
    /^quorate: \S+config\.yaml:10: storeFlushMillis: unknown setting; the nearest valid one is storeFlushMs$/m,
  ),
  added(
    'a wrong key in a group',
    'raft:\n  tikMs: 20',
    /config\.yaml:11: raft\.tikMs: unknown setting; the nearest valid one is raft\.tickMs/,
  ),
  changed(
    'a wrong key of a member',
    'peerAddress',
    'peerAdress',
    /config\.yaml:6: members\.0\.peerAdress: unknown setting; the nearest valid one is peerAddress/,
  ),
  added(
    'a wrong type',
    'storeFlushMs: soon',
    /yaml:10: storeFlushMs: must be a whole number from 1 to 60000, not "soon"/,
  ),
  changed(
    'a value out of range',
    /segmentBytes: .*/,
    'segmentBytes: 1',
    /yaml:9: wal\.segmentBytes: must be a whole number from 4194304 to \d+, not 1/,
  ),
  added(
    'a list for a number',
    'storeFlushMs: [1, 2]',
    /yaml:10: storeFlushMs: must be a whole number from 1 to 60000, not \[1,2\]/,
  ),
  added(
    'a group that is none',
    'raft: fast',
    /yaml:10: raft: must be a map of settings, written as "key: value" lines/,
  ),
  added('a key twice', 'memberId: b', /yaml:10: this is not valid YAML: .*unique/),
  added(
    'settings that do not fit',
    'raft:\n  heartbeatTicks: 19',
    /raft\.heartbeatTicks: 19 must be less than half of raft\.electionTicks \(20\).*; lower it to 9 or raise/,
  ),
  added('no YAML', 'raft: {tickMs: [1', /yaml:\d+: this is not valid YAML: /),
  added('tabs', 'raft:\n\ttickMs: 1', /yaml:\d+: this is not valid YAML: /),
  changed(
    'something missing',
    /dataDir: .*\n/,
    '',
    /^quorate: dataDir: is missing; give it in the file, with --data-dir or as QUORATE_DATA_DIR/m,
  ),
  {
    name: 'an empty file',
    text: () => '',
    says: /clusterId: is missing; .*\n.*memberId: is missing; .*\n.*dataDir: is missing; .*\n.*members: is missing/,
  },
  { name: 'bytes that are no text', text: () => '\u0000\u0001\ufffd{{{', says: /yaml:1: / },
  changed(
    'a name that is none',
    'clusterId: bad-start',
    'clusterId: Bad Start!',
    /yaml:1: clusterId: must be the name of a cluster: .*, not "Bad Start!"/,
  ),
  changed(
    'a member that is not in the list',
    'memberId: a',
    'memberId: z',
    /yaml:2: memberId: "z" is not among members \(a\); correct it or add the member/,
  ),
  changed(
    'a port out of range',
    /clientAddress: .*/,
    'clientAddress: 127.0.0.1:70000',
    /members\.0\.clientAddress: must be host:port with a port from 1 to 65535/,
  ),
  {
    name: 'no such file',
    text: null,
    file: 'not-there.yaml',
    says: /^quorate: --config \S+not-there\.yaml: there is no such file; give the path of a YAML file/m,
  },
  {
    name: 'a folder for a file',
    text: null,
    file: '.',
    says: /--config \S+: it is a folder; give the path of a YAML file/,
  },
  {
    name: 'a path through a file',
    text: (init) => configText(init),
    file: 'config.yaml/x',
    says: /--config \S+: .*not a (folder|directory).*give the path of a YAML file/,
  },
];
