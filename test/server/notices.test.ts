import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { Notice } from '../../src/node/options.ts';
import { logNotice } from '../../src/server/notices.ts';
import { logIndex, memberId } from '../../src/types/ids.ts';

const configuration = { voters: [memberId('a')], votersOutgoing: [], learners: [] };
const b = memberId('b');

const NOTICES: readonly (readonly [level: number, notice: Notice])[] = [
  [30, { kind: 'snapshotSent', to: b, index: logIndex(7), bytes: 9 }],
  [40, { kind: 'snapshotFailed', to: b, why: 'the disk' }],
  [30, { kind: 'snapshotInstalled', index: logIndex(7) }],
  [40, { kind: 'snapshotBad', from: b, why: 'a checksum' }],
  [20, { kind: 'compacted', firstIndex: logIndex(7) }],
  [50, { kind: 'noSpace', since: 'log' }],
  [30, { kind: 'spaceBack' }],
  [50, { kind: 'partitioned', silentMs: 45_000 }],
  [30, { kind: 'partitionOver', silentMs: 60_000 }],
  [30, { kind: 'recovered', index: logIndex(7) }],
  [30, { kind: 'configuration', placed: { index: logIndex(7), configuration }, committed: true }],
  [50, { kind: 'diverged', member: b, index: logIndex(7), hash: 'x', majorityHash: 'y' }],
  [30, { kind: 'featureLevel', level: 2 }],
];

describe('notices in the log', () => {
  it.each(NOTICES)('%i: %j keeps the keys of every line', (level, notice) => {
    const lines: string[] = [];
    const logger = pino({ level: 'debug', base: { member: 'a' } }, { write: (line) => lines.push(line) });
    logNotice(logger, notice);
    expect(lines.length).toBe(1);
    const keys = [...(lines[0] ?? '').matchAll(/[{,]"(level|member|time|msg)":/g)].map((match) => match[1]);
    expect(keys.sort()).toEqual(['level', 'member', 'msg', 'time']);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level, member: 'a' });
  });

  it('name the member that differs, and the feature level', () => {
    const lines: unknown[] = [];
    const logger = pino({ base: null }, { write: (line) => lines.push(JSON.parse(line)) });
    logNotice(logger, { kind: 'diverged', member: b, index: logIndex(7), hash: 'x', majorityHash: 'y' });
    logNotice(logger, { kind: 'featureLevel', level: 2 });
    expect(lines).toMatchObject([{ diverged: 'b', index: 7, hash: 'x', majorityHash: 'y' }, { featureLevel: 2 }]);
  });
});
